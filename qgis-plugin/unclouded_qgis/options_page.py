"""The page in Settings > Options: path to the program, device, bound on memory."""

# SPDX-License-Identifier: GPL-2.0-or-later

import json

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QProcess, QProcessEnvironment
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QComboBox, QFormLayout, QLabel, QSpinBox

from . import backend, settings
from .algorithm import ICON
from .compat import tr

PAGE = "mOptionsPageUnclouded"
LARGEST_MB = 1_000_000
# QGIS gives a page of the options none.
MARGIN_PX = 12


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page whenever the options dialog opens."""

    def __init__(self):
        super().__init__("unclouded", QIcon(str(ICON)))

    def icon(self):
        """The plugin's icon."""
        return QIcon(str(ICON))

    def createWidget(self, parent):
        """See QgsOptionsWidgetFactory."""
        return OptionsPage(parent)


class OptionsPage(QgsOptionsPageWidget):
    """Three settings, whether the program answers, and what it would compute on."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setObjectName(PAGE)
        self.binary = QgsFileWidget()
        self.binary.setFilePath(settings.binary())
        self.binary.lineEdit().setPlaceholderText(
            tr("the one that came with the plugin")
        )
        self.binary.fileChanged.connect(self.show_state)
        self.device = QComboBox()
        for word, text in zip(
            settings.DEVICES,
            (tr("automatic: a GPU if there is one"), tr("processor"), tr("GPU")),
        ):
            self.device.addItem(text, word)
        self.device.setCurrentIndex(self.device.findData(settings.device()))
        self.device.currentIndexChanged.connect(self.show_device)
        self.found_device = QLabel()
        self.found_device.setWordWrap(True)
        self.question = None
        self.memory = QSpinBox()
        self.memory.setRange(0, LARGEST_MB)
        self.memory.setSingleStep(500)
        self.memory.setSuffix(" MB")
        self.memory.setSpecialValueText(
            tr("no bound; a run keeps within about 1 GB by itself")
        )
        self.memory.setValue(settings.memory_mb())
        self.memory.setToolTip(
            tr("A run that forecasts more is refused before it starts.")
        )
        self.state = QLabel()
        self.state.setWordWrap(True)
        form = QFormLayout(self)
        form.setContentsMargins(MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX)
        form.addRow(tr("Program that computes"), self.binary)
        form.addRow("", self.state)
        form.addRow(tr("Compute on"), self.device)
        form.addRow("", self.found_device)
        form.addRow(tr("Refuse runs that need more than"), self.memory)
        self.show_state()

    def show_state(self):
        """Say which program would be used, or what is wrong with it."""
        path = self.binary.filePath().strip()
        try:
            found = backend.ask(path) if path else backend.find()
            text = tr("unclouded {version}: {path}").format(
                version=found.version, path=found.path
            )
        except backend.BackendError as error:
            text = str(error)
            found = None
        self.state.setText(text)
        self.show_device(found)

    def show_device(self, found):
        """Ask the program in the background what it would compute on: a driver takes its time."""
        if not isinstance(found, backend.Backend):
            try:
                path = self.binary.filePath().strip()
                found = backend.ask(path) if path else backend.find()
            except backend.BackendError:
                self.found_device.setText("")
                return
        environment = QProcessEnvironment.systemEnvironment()
        for name, value in found.environment.items():
            environment.insert(name, value)
        question = self.question = QProcess(self)
        question.setProcessEnvironment(environment)
        question.finished.connect(lambda *_: self.take_answer(question))
        question.start(found.path, ["info", self.device.currentData(), "--json"])

    def take_answer(self, question):
        """Show the name of the device, or why there is none."""
        if question is not self.question:
            return
        try:
            answer = json.loads(bytes(question.readAllStandardOutput()).decode())
            text = tr("{name}: {reason}").format(**answer)
        except (ValueError, KeyError):
            text = bytes(question.readAllStandardError()).decode("utf-8", "replace")
        self.found_device.setText(text.strip())

    def apply(self):
        """Called by QGIS for OK."""
        settings.save(
            self.binary.filePath(), self.device.currentData(), self.memory.value()
        )
