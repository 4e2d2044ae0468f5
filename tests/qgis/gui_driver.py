"""Runs inside QGIS with windows (`qgis --code`): uses the plugin as a person does, and tells.

Writes report.json and pictures into UNCLOUDED_GUI_OUT; test_gui.py reads them.
"""

import json
import os
import time
import traceback
from pathlib import Path

import qgis.utils
from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QSize, QTimer
from qgis.PyQt.QtGui import QColor, QFont, QImage, QPainter
from qgis.PyQt.QtWidgets import (
    QAction,
    QApplication,
    QMessageBox,
    QProgressBar,
    QWidget,
)

OUT = Path(os.environ["UNCLOUDED_GUI_OUT"])
REPORT = {"warnings": []}
# The sample takes seconds; a machine under load takes longer.
PATIENCE_SECONDS = 120
SIDE = 420


def wait(condition, what, seconds=PATIENCE_SECONDS):
    """Let QGIS work until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)
        time.sleep(0.01)


def pause(seconds):
    """Let QGIS draw."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end, "drawing")


def action(text):
    """Our entry of the Raster menu."""
    found = [
        one
        for one in qgis.utils.iface.mainWindow().findChildren(QAction)
        if text in one.text() and one.associatedWidgets()
    ]
    return found[0] if found else None


def dialogs():
    """Open Processing dialogs."""
    return [
        widget
        for widget in QApplication.topLevelWidgets()
        if type(widget).__name__ == "AlgorithmDialog" and widget.isVisible()
    ]


def providers():
    """How many providers are ours."""
    found = QgsApplication.processingRegistry().providers()
    return [provider.id() for provider in found].count("unclouded")


def run_dialog(dialog, cancel_at=None):
    """Press Run; returns (success, seconds from pressing Cancel to the end)."""
    outcome, pressed = [], []
    bar = dialog.findChild(QProgressBar)
    dialog.algorithmFinished.connect(lambda ok, _results: outcome.append(ok))
    dialog.runButton().click()
    if cancel_at is not None:
        wait(
            lambda: outcome or bar.value() >= cancel_at,
            "progress to cancel at",
        )
        REPORT["progress_at_cancel"] = bar.value()
        pressed.append(time.monotonic())
        dialog.cancelButton().click()
    wait(lambda: outcome, "the end of the run")
    return outcome[0], time.monotonic() - pressed[0] if pressed else None


def layers_by_name():
    """Layers of the project."""
    return {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}


def picture(layers, extent, crs, height):
    """The map of some layers as an image."""
    wanted = QgsMapSettings()
    wanted.setLayers(layers)
    wanted.setDestinationCrs(crs)
    wanted.setExtent(extent)
    wanted.setOutputSize(QSize(SIDE, height))
    wanted.setBackgroundColor(QColor("white"))
    job = QgsMapRendererParallelJob(wanted)
    job.start()
    job.waitForFinished()
    return job.renderedImage()


def strip(layers):
    """Before, after and uncertainty side by side."""
    scene = layers["Latium, 5 July 2018"]
    after = layers["Scene without clouds"]
    parts = [
        ("Before", [scene]),
        ("After", [after]),
        ("Uncertainty over the result", [layers["Uncertainty"], after]),
    ]
    gap, head = 8, 30
    width = len(parts) * SIDE + (len(parts) - 1) * gap
    box = scene.extent()
    height = round(SIDE * box.height() / box.width())
    image = QImage(width, height + head, QImage.Format.Format_RGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    font = QFont("DejaVu Sans")
    font.setPixelSize(17)
    painter.setFont(font)
    for number, (title, shown) in enumerate(parts):
        left = number * (SIDE + gap)
        painter.drawText(left + 4, 21, title)
        painter.drawImage(left, head, picture(shown, box, scene.crs(), height))
    painter.end()
    image.save(str(OUT / "before_after.png"))


def look_at_options():
    """Settings… opens QGIS's options dialog, which waits: look at it from a timer."""

    def look():
        dialog = QApplication.activeModalWidget()
        if dialog is None:
            QTimer.singleShot(300, look)
            return
        page = dialog.findChild(QWidget, "mOptionsPageUnclouded")
        REPORT["options_page_shown"] = page is not None and page.isVisible()
        dialog.reject()

    QTimer.singleShot(1000, look)
    action("Settings…").trigger()


def look_at_results():
    """What is on the screen after the run."""
    layers = layers_by_name()
    REPORT["layers"] = sorted(layers)
    for key, name in (
        ("scene", "Latium, 5 July 2018"),
        ("output", "Scene without clouds"),
        ("uncertainty", "Uncertainty"),
        ("provenance", "Provenance"),
    ):
        if name in layers:
            renderer = layers[name].renderer()
            REPORT[f"{key}_renderer"] = renderer.type()
            REPORT[f"{key}_legend"] = [
                text for text, _ in renderer.legendSymbologyItems()
            ]
            REPORT[f"{key}_bands"] = renderer.usesBands()
    items = qgis.utils.iface.messageBar().items()
    REPORT["message_bar"] = [f"{item.title()}: {item.text()}" for item in items]


def drive():
    """The whole visit."""
    wait(lambda: "unclouded_qgis" in qgis.utils.plugins, "the plugin to be loaded", 30)
    main = qgis.utils.iface.mainWindow()
    main.resize(1480, 900)
    REPORT["providers_at_start"] = providers()
    REPORT["menu"] = [
        bool(action(text)) for text in ("Remove clouds", "Try it", "Settings…")
    ]

    action("Try it").trigger()
    wait(dialogs, "the dialog")
    (dialog,) = dialogs()
    dialog.resize(1000, 760)
    pause(1.5)
    filled = dialog.createProcessingParameters()
    REPORT["parameters"] = {key: str(value) for key, value in filled.items()}
    REPORT["title"] = dialog.windowTitle()
    dialog.grab().save(str(OUT / "dialog.png"))

    REPORT["ok"], _ = run_dialog(dialog)
    pause(2.0)
    look_at_results()
    dialog.grab().save(str(OUT / "log.png"))
    dialog.close()
    pause(1.0)
    main.grab().save(str(OUT / "window.png"))
    strip(layers_by_name())

    before = len(layers_by_name())
    plugin = qgis.utils.plugins["unclouded_qgis"]
    sample = __import__("unclouded_qgis.sample", fromlist=["sample"])
    again = sample.open_dialog(
        "unclouded:removeclouds", {**filled, "SAMPLES": 48, "SEED": 2}
    )
    REPORT["cancelled_ok"], REPORT["cancel_seconds"] = run_dialog(again, cancel_at=5)
    pause(0.5)
    REPORT["layers_added_by_cancelled"] = len(layers_by_name()) - before
    REPORT["run_button_after_cancel"] = again.runButton().isEnabled()
    again.close()

    look_at_options()
    page = plugin.options.createWidget(None)
    page.resize(620, 200)
    page.show()
    pause(0.5)
    REPORT["options_state"] = page.state.text()
    page.memory.setValue(4000)
    page.apply()
    settings = __import__("unclouded_qgis.settings", fromlist=["settings"])
    REPORT["saved_memory"] = settings.memory_mb()
    page.binary.setFilePath("/nowhere/unclouded")
    REPORT["options_state_wrong"] = page.state.text()
    page.grab().save(str(OUT / "options.png"))
    page.close()
    settings.save("", "auto", 0)

    REPORT["unloaded"] = qgis.utils.unloadPlugin("unclouded_qgis")
    pause(0.3)
    REPORT["providers_unloaded"] = providers()
    REPORT["menu_unloaded"] = bool(action("Try it"))
    qgis.utils.loadPlugin("unclouded_qgis")
    qgis.utils.startPlugin("unclouded_qgis")
    qgis.utils.reloadPlugin("unclouded_qgis")
    pause(0.3)
    REPORT["providers_reloaded"] = providers()
    REPORT["menu_reloaded"] = bool(action("Try it"))


def close_boxes():
    """A message box would stop the visit: note its text and close it."""
    box = QApplication.activeModalWidget()
    if isinstance(box, QMessageBox):
        REPORT["warnings"].append(box.text())
        box.close()


def visit():
    """Drive, write the report whatever happens, leave QGIS."""
    guard = QTimer()
    guard.timeout.connect(close_boxes)
    guard.start(500)
    try:
        drive()
    except Exception:  # noqa: BLE001 (whatever it is, the report has to say it)
        REPORT["error"] = traceback.format_exc()
        qgis.utils.iface.mainWindow().grab().save(str(OUT / "window.png"))
    guard.stop()
    QgsProject.instance().clear()
    (OUT / "report.json").write_text(json.dumps(REPORT, indent=1), encoding="utf-8")
    for dialog in dialogs():
        dialog.close()
    QTimer.singleShot(0, lambda: qgis.utils.iface.actionExit().trigger())


QTimer.singleShot(1000, visit)
