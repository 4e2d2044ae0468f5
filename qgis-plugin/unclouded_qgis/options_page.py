"""The page in Settings > Options: path to the program, device, bound on memory."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QComboBox, QFormLayout, QLabel, QSpinBox

from . import backend, settings
from .algorithm import ICON
from .compat import tr

PAGE = "mOptionsPageUnclouded"
LARGEST_MB = 1_000_000


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
    """Three settings, and whether the program answers."""

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
        self.memory = QSpinBox()
        self.memory.setRange(0, LARGEST_MB)
        self.memory.setSingleStep(500)
        self.memory.setSuffix(" MB")
        self.memory.setSpecialValueText(tr("no bound"))
        self.memory.setValue(settings.memory_mb())
        self.memory.setToolTip(
            tr("A run whose forecast is above it is refused before it starts.")
        )
        self.state = QLabel()
        self.state.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow(tr("Program"), self.binary)
        form.addRow("", self.state)
        form.addRow(tr("Device"), self.device)
        form.addRow(tr("Most memory"), self.memory)
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
        self.state.setText(text)

    def apply(self):
        """Called by QGIS for OK."""
        settings.save(
            self.binary.filePath(), self.device.currentData(), self.memory.value()
        )
