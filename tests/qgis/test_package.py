"""The ZIP files: the rules of the plugin repository, and what 'Install from ZIP' needs.

The rules are those of plugins.qgis.org (qgis/QGIS-Plugins-Website, plugins/validator.py, and its
page 'How to add your plugin to this repository'), without those that need the internet.
"""

import configparser
import os
import re
import unittest
import zipfile
from pathlib import Path
from urllib.parse import urlparse
from xml.etree import ElementTree

DIST = Path(os.environ["UNCLOUDED_TEST_DIST"])
REQUIRED = [
    "name",
    "description",
    "version",
    "qgisMinimumVersion",
    "author",
    "email",
    "about",
    "tracker",
    "repository",
]
EXECUTABLES = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def metadata(archive):
    """The [general] section of metadata.txt."""
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read_string(archive.read("unclouded_qgis/metadata.txt").decode("utf-8"))
    return parser["general"]


class Package(unittest.TestCase):
    def setUp(self):
        self.full = zipfile.ZipFile(DIST / "unclouded_qgis.zip")
        self.plain = zipfile.ZipFile(DIST / "unclouded_qgis_repository.zip")
        self.addCleanup(self.full.close)
        self.addCleanup(self.plain.close)

    def test_both_are_sound_archives_of_one_folder(self):
        for archive in (self.full, self.plain):
            self.assertIsNone(archive.testzip())
            for name in archive.namelist():
                self.assertTrue(name.startswith("unclouded_qgis/"), name)
                self.assertNotIn("..", name)
                self.assertNotRegex(name, r"\.pyc|__pycache__|__MACOSX|/\.")
            for wanted in ("__init__.py", "metadata.txt", "LICENSE", "icon.svg"):
                self.assertIn(f"unclouded_qgis/{wanted}", archive.namelist())

    def test_metadata_passes_the_repository(self):
        found = metadata(self.plain)
        for key in REQUIRED:
            self.assertTrue(found.get(key, "").strip(), key)
        for key in ("homepage", "tracker", "repository"):
            address = urlparse(found[key])
            self.assertTrue(address.scheme == "https" and address.netloc, found[key])
        self.assertNotIn("/", found["author"])
        self.assertRegex(found["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(found["qgisMinimumVersion"], "3.22")
        self.assertEqual(found["hasProcessingProvider"], "yes")
        self.assertEqual(found["supportsQt6"], "True")
        # An external dependency has to be stated there.
        self.assertIn("EXTERNAL DEPENDENCY", found["about"])
        self.assertNotIn("plugin", found["name"].lower())

    def test_version_is_that_of_the_program(self):
        cargo = (Path(__file__).parents[2] / "Cargo.toml").read_text()
        version = re.search(r'^version = "(.+)"', cargo, re.MULTILINE).group(1)
        self.assertEqual(metadata(self.full)["version"], version)

    def test_repository_package_has_no_binaries_and_is_small(self):
        size = (DIST / "unclouded_qgis_repository.zip").stat().st_size
        self.assertLess(size, 25_000_000)
        for name in self.plain.namelist():
            self.assertFalse(self.plain.read(name).startswith(EXECUTABLES), name)

    def test_full_package_has_the_program_with_its_licences(self):
        names = [name for name in self.full.namelist() if "/bin/" in name]
        programs = [name for name in names if name.rsplit("/", 1)[1] == "unclouded"]
        self.assertEqual(len(programs), 1, names)
        self.assertTrue(self.full.read(programs[0]).startswith(EXECUTABLES))
        self.assertTrue(self.full.getinfo(programs[0]).external_attr >> 16 & 0o100)
        for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
            self.assertIn(f"unclouded_qgis/bin/{licence}", names)

    def test_no_address_that_leads_nowhere(self):
        """Without the project's address the ZIP for 'Install from ZIP' names none."""
        text = self.full.read("unclouded_qgis/metadata.txt").decode()
        self.assertNotIn(".example", text)

    def test_sample_is_attributed(self):
        for archive in (self.full, self.plain):
            text = archive.read("unclouded_qgis/sample/README.md").decode()
            self.assertIn("CC BY 4.0", text)
            self.assertIn("modified Copernicus Sentinel data 2018", text)
            for name in ("20180705.tif", "20180705_mask.tif", "20181112.tif"):
                self.assertIn(
                    f"unclouded_qgis/sample/latium_{name}", archive.namelist()
                )
            # What the plugin manager shows says the same as the sample's own page.
            about = metadata(archive)["about"]
            self.assertIn("SEN12MS-CR-TS, CC BY 4.0", about)
            self.assertIn("modified Copernicus Sentinel data 2018", about)
            self.assertNotIn("SSL4EO", about)

    def test_licence_and_icon(self):
        self.assertIn(b"GNU GENERAL PUBLIC", self.full.read("unclouded_qgis/LICENSE"))
        names = [name for name in self.full.namelist() if name.endswith(".svg")]
        self.assertGreater(len(names), 5)
        for name in names:
            ElementTree.fromstring(self.full.read(name))

    def test_python_is_pure(self):
        allowed = {"qgis", "osgeo", "numpy", "processing"}
        import sys

        for name in self.full.namelist():
            if not name.endswith(".py"):
                continue
            text = self.full.read(name).decode()
            for module in re.findall(
                r"^\s*(?:from|import) (\w[\w.]*)", text, re.MULTILINE
            ):
                top = module.split(".")[0]
                known = top in allowed or top in sys.stdlib_module_names
                self.assertTrue(known, f"{name} imports {module}")
            self.assertNotIn("shell=True", text)


if __name__ == "__main__":
    unittest.main()
