"""The plugin itself: provider, menu, settings page and translation, and taking them away again."""

# SPDX-License-Identifier: GPL-2.0-or-later

from pathlib import Path

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QTranslator
from qgis.PyQt.QtGui import QDesktopServices

from . import loader
from .algorithm import help_url, icon
from .compat import GEOMETRY_POLYGON, tr
from .provider import UncloudedProvider

MENU = "unclouded"
OPTIONS_PAGE = "mOptionsPageUnclouded"


class UncloudedPlugin:
    """Loaded by QGIS, and by qgis_process without a user interface.

    Args:
        iface: QgisInterface; None in qgis_process.
    """

    def __init__(self, iface):
        self.iface = iface
        self.provider = None
        self.actions = []
        # Dialogs on the screen. Without a reference the Python half of one is collected, and its
        # buttons do nothing.
        self.dialogs = []
        self.options = None
        self.translator = None
        self._translate()

    def _translate(self):
        locale = str(QgsSettings().value("locale/userLocale", "en_US") or "en_US")
        folder = Path(__file__).resolve().parent / "i18n"
        for name in (locale, locale[:2]):
            file = folder / f"unclouded_{name}.qm"
            if file.exists():
                self.translator = QTranslator()
                self.translator.load(str(file))
                QCoreApplication.installTranslator(self.translator)
                return

    def initProcessing(self):
        """Add the algorithms; qgis_process calls only this."""
        if self.provider is None:
            self.provider = UncloudedProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Add the algorithms, the menu and the settings page."""
        try:
            from qgis.PyQt.QtGui import QAction  # Qt 6
        except ImportError:
            from qgis.PyQt.QtWidgets import QAction

        from .options_page import OptionsFactory

        self.initProcessing()
        for text, file, slot in (
            (tr("Remove clouds…"), "", self.remove_clouds),
            (tr("Cloud mask…"), "cloudmask.svg", self.cloud_mask),
            (tr("Fill mask…"), "fillmask.svg", self.fill_mask),
            (tr("Try it: a sample scene"), "sample.svg", self.try_it),
            (tr("Help"), "help.svg", self.open_help),
            (tr("Settings…"), "settings.svg", self.open_settings),
        ):
            action = QAction(icon(file), text, self.iface.mainWindow())
            action.triggered.connect(lambda _checked=False, run=slot: run())
            self.iface.addPluginToRasterMenu(MENU, action)
            self.actions.append(action)
        self.options = OptionsFactory()
        self.iface.registerOptionsWidgetFactory(self.options)

    def unload(self):
        """Take everything away that was added."""
        for dialog in self.open_dialogs():
            dialog.close()
        self.dialogs = []
        for action in self.actions:
            self.iface.removePluginRasterMenu(MENU, action)
            action.deleteLater()
        self.actions = []
        if self.options is not None:
            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
        if self.provider is not None:
            # The registry deletes the provider.
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.translator is not None:
            QCoreApplication.removeTranslator(self.translator)
            self.translator = None
        loader.clean()

    def remove_clouds(self):
        """The dialog of 'Remove clouds', with the active layer as scene or as drawn clouds."""
        self.open_dialog("unclouded:removeclouds", self.active_layers())

    def fill_mask(self):
        """The dialog of 'Fill mask', with the active layer as scene or as drawn mask."""
        self.open_dialog("unclouded:fillmask", self.active_layers())

    def cloud_mask(self):
        """The dialog of 'Cloud mask', with the active raster as scene."""
        chosen = self.active_layers()
        chosen.pop("MASK", None)
        self.open_dialog("unclouded:cloudmask", chosen)

    def try_it(self):
        """Load the sample and open the dialog for it, beside its clouds."""
        from . import sample

        chosen = sample.load(self.iface)
        if chosen is None:
            return
        dialog = self.open_dialog("unclouded:removeclouds", chosen)
        if dialog is not None:
            # The sample lies in the left half of the map.
            area = self.iface.mainWindow().centralWidget()
            dialog.resize(area.width() // 2 - 20, area.height() - 40)
            right_below = area.mapToGlobal(area.rect().bottomRight())
            frame = dialog.frameGeometry()
            frame.moveBottomRight(right_below)
            dialog.move(frame.topLeft())

    def active_layers(self):
        """What the layers are to a dialog: the active raster, or the one on top, is the scene;
        active polygons are the mask."""
        from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer

        layer, chosen = self.iface.activeLayer(), {}
        drawn = isinstance(layer, QgsVectorLayer)
        if drawn and layer.geometryType() == GEOMETRY_POLYGON:
            chosen["MASK"] = layer
        root = QgsProject.instance().layerTreeRoot()
        seen = [
            one for one in root.layerOrder() if root.findLayer(one.id()).isVisible()
        ]
        for one in (layer, *seen):
            if isinstance(one, QgsRasterLayer) and one.isValid():
                return {"INPUT": one, **chosen}
        return chosen

    def open_dialog(self, algorithm, parameters):
        """Show an algorithm's dialog with these parameters filled in, without waiting for it.

        Returns:
            The dialog, or None if the algorithm cannot be run (QGIS then says why).
        """
        import processing

        self.dialogs = self.open_dialogs()
        dialog = processing.createAlgorithmDialog(algorithm, parameters)
        if dialog is not None:
            self.dialogs.append(dialog)
            dialog.show()
        return dialog

    def open_dialogs(self):
        """Those of our dialogs that are still on the screen."""
        from qgis.PyQt import sip

        return [
            dialog
            for dialog in self.dialogs
            if not sip.isdeleted(dialog) and dialog.isVisible()
        ]

    def open_help(self):
        """The help that came with the plugin, in the browser."""
        QDesktopServices.openUrl(help_url())

    def open_settings(self):
        """Our page of Settings > Options."""
        self.iface.showOptionsDialog(self.iface.mainWindow(), OPTIONS_PAGE)
