"""The dialog of 'Remove clouds' and 'Fill mask': only what applies is seen, the rest in groups.

QGIS builds the widgets; this panel hides the rows that the other answers make pointless, and puts
headings into the advanced part. Batch, models and scripts see all parameters as they are.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from processing.gui.AlgorithmDialog import AlgorithmDialog
from processing.gui.ParametersPanel import ParametersPanel
from qgis.core import QgsProcessingContext, QgsProject, QgsVectorLayer
from qgis.gui import QgsCollapsibleGroupBoxBasic
from qgis.PyQt.QtWidgets import QBoxLayout, QLabel

from .compat import GEOMETRY_POLYGON, tr


class RestoreDialog(AlgorithmDialog):
    """QGIS's own dialog of an algorithm, with our panel in it."""

    def getParametersPanel(self, alg, parent):
        """Called by QGIS once."""
        return RestorePanel(parent, alg, self.in_place, self.active_layer)


class RestorePanel(ParametersPanel):
    """The parameters as QGIS shows them, less what does not apply."""

    def initWidgets(self):
        """Called by QGIS once, from its constructor."""
        super().initWidgets()
        # What a hidden row held, given back when it is seen again.
        self.kept = {}
        self.headings = []
        self.hidden = set()
        self.add_headings()
        for name in ("MASK_FROM", "MASK", "REFERENCE", "REFERENCE_CLOUDS"):
            if name in self.wrappers:
                self.wrappers[name].widgetValueHasChanged.connect(
                    self.show_what_applies
                )
        for group in self.findChildren(QgsCollapsibleGroupBoxBasic):
            # Opened, it shows all it holds.
            group.collapsedStateChanged.connect(self.show_what_applies)
        self.show_what_applies()

    def setParameters(self, parameters):
        """Called by QGIS with values to fill in; a mask is an answer to where the clouds are."""
        if parameters.get("MASK") and "MASK_FROM" in self.wrappers:
            words = self.algorithm().words_of("MASK_FROM")
            parameters = {"MASK_FROM": words.index("values"), **parameters}
        super().setParameters(parameters)
        self.show_what_applies()

    def add_headings(self):
        """Put the headings of the algorithm's groups above the first row of each."""
        for heading, names in self.algorithm().groups():
            first = next((name for name in names if name in self.wrappers), None)
            row = self.rows(first)[0] if first else None
            layout = _layout_of(row) if row else None
            if layout is None:
                continue
            label = QLabel(f"<b>{heading}</b>")
            label.setContentsMargins(0, 10, 0, 0)
            layout.insertWidget(layout.indexOf(row), label)
            self.headings.append((label, names))

    def rows(self, name):
        """The widgets of a parameter, label first."""
        wrapper = self.wrappers[name]
        found = (wrapper.wrappedLabel(), wrapper.wrappedWidget())
        return [widget for widget in found if widget is not None]

    def show_what_applies(self, *_):
        """Show the rows that the answers so far leave open."""
        clouds = self.word("MASK_FROM", "values")
        layer = self.layer("MASK")
        drawn = isinstance(layer, QgsVectorLayer)
        self.show_row("MASK", clouds != "auto")
        self.name_mask(clouds)
        if clouds == "values" and layer is None:
            layer = self.suggest_polygons()
            drawn = layer is not None
        self.show_row("SELECTED_ONLY", clouds == "values" and drawn)
        is_raster = layer is not None and not drawn
        self.show_row("MASK_VALUES", clouds == "values" and is_raster)
        dated = bool(self.value("REFERENCE"))
        self.show_row("REFERENCE_CLOUDS", dated)
        self.show_row(
            "REFERENCE_MASK", dated and self.word("REFERENCE_CLOUDS", "none") == "none"
        )

    def name_mask(self, clouds):
        """Call the mask what it is: with polygons or a raster of one's own it is not optional."""
        label = self.wrappers["MASK"].wrappedLabel()
        if label is None:
            return
        name = {
            "scl": tr("SCL raster [optional]"),
            "qa-pixel": tr("QA_PIXEL raster [optional]"),
        }.get(clouds, self.algorithm().label("MASK"))
        label.setText(name)

        for label, names in self.headings:
            used = any(name not in self.hidden for name in names)
            label.setVisible(used and not _folded(label))

    def show_row(self, name, visible):
        """Show or hide a parameter; what is not seen has no say."""
        if name not in self.wrappers:
            return
        (self.hidden.discard if visible else self.hidden.add)(name)
        for widget in self.rows(name):
            widget.setVisible(visible and not _folded(widget))
        if visible and name in self.kept:
            self.set_value(name, self.kept.pop(name))
        elif not visible and name not in self.kept and self.value(name):
            self.kept[name] = self.value(name)
            self.set_value(name, None)

    def suggest_polygons(self):
        """The polygon layer of the project, if there is just one: it was likely drawn for this.

        Returns:
            The layer, now chosen as the mask, or None.
        """
        found = [
            layer
            for layer in QgsProject.instance().mapLayers().values()
            if isinstance(layer, QgsVectorLayer)
            and layer.geometryType() == GEOMETRY_POLYGON
        ]
        if len(found) != 1:
            return None
        self.set_value("MASK", found[0].id())
        return found[0]

    def value(self, name):
        """What a row holds; None if there is no such row."""
        wrapper = self.wrappers.get(name)
        return wrapper.parameterValue() if wrapper else None

    def set_value(self, name, value):
        """Put a value into a row."""
        self.wrappers[name].setParameterValue(value, self.processing_context)

    def word(self, name, otherwise):
        """The word of a choice, or another where there is no such row."""
        if name not in self.wrappers:
            return otherwise
        return self.algorithm().words_of(name)[int(self.value(name) or 0)]

    def layer(self, name):
        """The layer a row holds, or None."""
        value = self.value(name)
        if not value:
            return None
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        return self.algorithm().parameterAsLayer({name: value}, name, context)


def _layout_of(widget):
    """The box layout a widget lies in, or None."""
    open_ones = [widget.parentWidget().layout()] if widget.parentWidget() else []
    while open_ones:
        layout = open_ones.pop()
        if layout is None:
            continue
        if isinstance(layout, QBoxLayout) and layout.indexOf(widget) >= 0:
            return layout
        open_ones += [layout.itemAt(at).layout() for at in range(layout.count())]
    return None


def _folded(widget):
    """Whether a widget lies in a group that is closed."""
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QgsCollapsibleGroupBoxBasic) and parent.isCollapsed():
            return True
        parent = parent.parentWidget()
    return False
