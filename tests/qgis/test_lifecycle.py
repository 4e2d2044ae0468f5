"""Loading, unloading and loading again; no warnings of Python; nothing that newer QGIS dropped."""

import ast
import gc
import subprocess
import sys
import unittest

import harness
from harness import PLUGIN, QGIS_PYTHON

APPLICATION, FIRST = harness.start_qgis()

import unclouded_qgis
from qgis.core import QgsProcessingParameterDefinition
from unclouded_qgis import settings

IDS = ["cloudmask", "fillmask", "modelinfo", "removeclouds", "series"]
# What everybody answers, and the rest, samplers last.
MAIN = ["INPUT", "MASK_FROM", "MASK", "SELECTED_ONLY", "MASK_VALUES"]
MAIN += ["REFERENCE", "REFERENCES", "WRITE"]
ADVANCED = ["GROW", "MIN_AREA", "EXTENT", "REFERENCE_CLOUDS", "REFERENCE_MASK"]
ADVANCED += ["BANDS", "OFFSET", "QUALITY", "DEVICE", "TILE", "OVERLAP"]
ADVANCED += ["MODEL", "SAMPLES", "SEED", "STEPS", "METHOD", "SAMPLER"]
OUTPUTS = ["OUTPUT", "UNCERTAINTY", "PROVENANCE"]
ONLY_CLOUDS = ["MASK_FROM", "REFERENCE", "REFERENCES", "MIN_AREA"]
ONLY_CLOUDS += ["REFERENCE_CLOUDS", "REFERENCE_MASK"]


def registry():
    """QGIS's list of providers."""
    return APPLICATION.processingRegistry()


def providers():
    """How many of them are ours."""
    return [p.id() for p in registry().providers()].count("unclouded")


class Lifecycle(unittest.TestCase):
    def test_load_unload_reload_leaves_no_provider(self):
        FIRST.unload()
        self.assertEqual(providers(), 0)
        for _ in range(3):
            plugin = unclouded_qgis.classFactory(None)
            plugin.initProcessing()
            plugin.initProcessing()
            self.assertEqual(providers(), 1)
            names = [
                a.name() for a in registry().providerById("unclouded").algorithms()
            ]
            self.assertEqual(sorted(names), IDS)
            plugin.unload()
            plugin.unload()
            del plugin
            gc.collect()
            self.assertEqual(providers(), 0)
            self.assertIsNone(registry().algorithmById("unclouded:removeclouds"))
        FIRST.initProcessing()
        self.assertEqual(providers(), 1)

    def test_ids_and_parameters_are_stable(self):
        algorithm = registry().algorithmById("unclouded:removeclouds")
        found = algorithm.parameterDefinitions()
        names = MAIN + ADVANCED + OUTPUTS
        self.assertEqual([p.name() for p in found], names)
        flag = QgsProcessingParameterDefinition.FlagAdvanced
        for parameter in found:
            self.assertTrue(parameter.help(), parameter.name())
            advanced = bool(parameter.flags() & flag)
            self.assertEqual(advanced, parameter.name() in ADVANCED, parameter.name())
        grouped = [name for _, names in algorithm.groups() for name in names]
        self.assertEqual(grouped, ADVANCED)
        filling = registry().algorithmById("unclouded:fillmask").parameterDefinitions()
        shared = [name for name in names if name not in ONLY_CLOUDS]
        self.assertEqual([p.name() for p in filling], shared)
        outputs = [output.name() for output in algorithm.outputDefinitions()]
        self.assertIn("FILLED_FRACTION", outputs)
        self.assertIn("CLEAR_PIXELS_CHANGED", outputs)

    def test_provider_loads_without_a_program(self):
        settings.save("/nowhere/unclouded", "auto", 0)
        self.addCleanup(settings.save, "", "auto", 0)
        plugin = unclouded_qgis.classFactory(None)
        FIRST.unload()
        plugin.initProcessing()
        self.assertEqual(providers(), 1)
        fine, reason = registry().algorithmById("unclouded:fillmask").canExecute()
        self.assertFalse(fine)
        self.assertIn("Settings > Options > unclouded", reason)
        plugin.unload()
        FIRST.initProcessing()

    def test_settings_survive_nonsense(self):
        from qgis.core import QgsSettings

        self.addCleanup(settings.save, "", "auto", 0)
        QgsSettings().setValue("unclouded/memory_mb", "lots")
        QgsSettings().setValue("unclouded/device", "toaster")
        self.assertEqual(settings.memory_mb(), 0)
        self.assertEqual(settings.device(), "auto")

    def test_no_python_warnings(self):
        code = (
            f"import sys; sys.path[:0] = [{QGIS_PYTHON!r}, {str(PLUGIN.parent)!r}]\n"
            "from pathlib import Path\n"
            "from qgis.core import QgsApplication\n"
            "application = QgsApplication([], False)\n"
            "import importlib, unclouded_qgis\n"
            f"for path in sorted(Path({str(PLUGIN)!r}).glob('*.py')):\n"
            "    compile(path.read_text(), str(path), 'exec')\n"
            "    importlib.import_module('unclouded_qgis.' + path.stem)\n"
            "print('imported')\n"
        )
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            check=False,
            capture_output=True,
            text=True,
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("imported", run.stdout)

    def test_qt_is_imported_through_qgis_and_enums_are_scoped(self):
        """What Qt 6 dropped: PyQt5 by name, enum values without their enum, exec_()."""
        for path in PLUGIN.glob("*.py"):
            text = path.read_text(encoding="utf-8")
            self.assertNotIn("PyQt5", text)
            self.assertNotIn("PyQt6", text)
            self.assertNotIn("exec_(", text)
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    unscoped = node.value.id == "Qt" and node.attr[0].isupper()
                    self.assertFalse(unscoped, f"{path.name}: Qt.{node.attr}")


if __name__ == "__main__":
    unittest.main()
