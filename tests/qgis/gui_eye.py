"""Runs inside QGIS with windows (`qgis --code`): tells a tester where things are, and what is seen.

It touches nothing. The tester (person.py) asks with ask.json in UNCLOUDED_GUI_OUT and reads
answer.json; the mouse is moved from outside. Nothing of QGIS is kept between two answers: a
reference held here could keep alive what the plugin has to keep alive itself.
"""

import json
import os
import traceback
from pathlib import Path

import qgis.utils
from qgis.core import QgsLayerTreeGroup, QgsPointXY, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import QPoint, QTimer
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QGroupBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QMenu,
    QMessageBox,
    QTabWidget,
    QTextEdit,
)

OUT = Path(os.environ["UNCLOUDED_GUI_OUT"])
LOOK_EVERY_MS = 30


def place(widget, point=None):
    """The middle of a widget, or a point of it, on the screen."""
    found = widget.mapToGlobal(point or widget.rect().center())
    return [found.x(), found.y()]


def windows():
    """Visible windows, that with the focus first."""
    found = [one for one in QApplication.topLevelWidgets() if one.isVisible()]
    return sorted(found, key=lambda one: not one.isActiveWindow())


def window(title):
    """The visible window whose title begins so; the main window for an empty one."""
    if not title:
        return qgis.utils.iface.mainWindow()
    for one in windows():
        if one.windowTitle().startswith(title):
            return one
    raise LookupError(
        f"no window {title!r}: {[one.windowTitle() for one in windows()]}"
    )


def plain(text):
    """A label without its mnemonic and dots."""
    return text.replace("&", "").strip()


def ready():
    """Whether QGIS has started."""
    return qgis.utils.iface is not None and qgis.utils.iface.mainWindow().isVisible()


def menu_bar(text):
    """Where an entry of the menu bar is."""
    bar = qgis.utils.iface.mainWindow().menuBar()
    for action in bar.actions():
        if plain(action.text()) == text:
            return place(bar, bar.actionGeometry(action).center())
    raise LookupError(text)


def menu_entry(text):
    """Where an entry of an open menu is."""
    found = []
    for menu in windows():
        if not isinstance(menu, QMenu):
            continue
        for action in menu.actions():
            name = plain(action.text())
            if name == text and action.isVisible():
                return place(menu, menu.actionGeometry(action).center())
            found.append(name)
    raise LookupError(f"{text!r} is not among {found}")


def menu_entries():
    """Texts of the last opened menu, and whether each has an icon."""
    menu = QApplication.activePopupWidget()
    shown = [one for one in menu.actions() if one.isVisible() and one.text()]
    return [[plain(one.text()), not one.icon().isNull()] for one in shown]


def plugins():
    """Names of the plugins that run."""
    return " ".join(qgis.utils.active_plugins)


def titles():
    """Titles of all windows."""
    return [one.windowTitle() for one in windows()]


def box(title):
    """Left, top, width and height of a window on the screen."""
    frame = window(title).frameGeometry()
    return [frame.x(), frame.y(), frame.width(), frame.height()]


def button(title, text):
    """Where a button of a window is; only one that can be pressed."""
    for one in window(title).findChildren(QAbstractButton):
        if one.isVisible() and one.isEnabled() and plain(one.text()) == text:
            return place(one)
    raise LookupError(f"no button {text!r} in {title!r}")


def field(title, label):
    """Where the widget to the right of a label is, or else that below it."""
    parent = window(title)
    shown = [one for one in parent.findChildren(QLabel) if one.isVisible()]
    texts = [plain(one.text()).rstrip(":") for one in shown]
    if label not in texts:
        raise LookupError(f"no field {label!r}: {texts}")
    named = shown[texts.index(label)]
    left, middle = place(named, QPoint(0, named.height() // 2))
    near = []
    for kind in (QComboBox, QLineEdit):
        for one in parent.findChildren(kind):
            x, y = place(one, QPoint(0, one.height() // 2))
            if not one.isVisible() or y < middle - 8 or x < left - 8:
                continue
            beside = abs(y - middle) <= 8
            near.append((not beside, x if beside else y, place(one)))
    if not near:
        raise LookupError(f"nothing beside {label!r}")
    return min(near)[2]


def line_edit(title):
    """Where the first line to type in is."""
    for one in window(title).findChildren(QLineEdit):
        if (
            one.isVisible()
            and one.isEnabled()
            and not isinstance(one.parent(), QComboBox)
        ):
            return place(one)
    raise LookupError("nothing to type in")


def choice(text):
    """Where an entry of the open drop-down list is."""
    popup = QApplication.activePopupWidget()
    if popup is None:
        raise LookupError("no list is open")
    for view in popup.findChildren(QAbstractItemView):
        model = view.model()
        for row in range(model.rowCount()):
            index = model.index(row, 0)
            if str(index.data()).startswith(text):
                view.scrollTo(index)
                return place(view.viewport(), view.visualRect(index).center())
    raise LookupError(f"{text!r} is not in the open list")


def group(title, text):
    """Where the heading of a group that folds is."""
    for one in window(title).findChildren(QGroupBox):
        if one.isVisible() and plain(one.title()) == text:
            return place(one, QPoint(60, 10))
    raise LookupError(text)


def labels(title):
    """Texts of all labels and ticks that are seen in a window, from top to bottom."""
    parent = window(title)
    found = []
    for one in parent.findChildren(QLabel) + parent.findChildren(QAbstractButton):
        if one.isVisible() and one.text():
            found.append((one.mapTo(parent, QPoint(0, 0)).y(), plain(one.text())))
    return [text for _, text in sorted(found)]


def side_list(title, text):
    """Where an entry of the list at a window's side is."""
    for lists in window(title).findChildren(QListWidget):
        for row in range(lists.count()):
            if lists.item(row).text() == text and lists.isVisible():
                found = lists.visualItemRect(lists.item(row)).center()
                return place(lists.viewport(), found)
    raise LookupError(text)


def tab(title):
    """Which page of a window is in front."""
    found = window(title).findChild(QTabWidget)
    return plain(found.tabText(found.currentIndex()))


def log(title):
    """The texts of a dialog's panes: its log, and its help."""
    panes = window(title).findChildren(QTextEdit)
    return "\n".join(pane.toPlainText() for pane in panes)


def message_boxes():
    """Texts of message boxes."""
    return [one.text() for one in windows() if isinstance(one, QMessageBox)]


def message_bar():
    """What the bar above the map says, with its level."""
    items = qgis.utils.iface.messageBar().items()
    return [[item.level(), f"{item.title()}: {item.text()}"] for item in items]


def tree():
    """The layer tree: a list of [depth, kind, name, seen], from top to bottom."""
    found = []

    def walk(group, depth):
        for child in group.children():
            kind = "group" if isinstance(child, QgsLayerTreeGroup) else "layer"
            found.append([depth, kind, child.name(), child.isVisible()])
            if kind == "group":
                walk(child, depth + 1)

    walk(QgsProject.instance().layerTreeRoot(), 0)
    return found


def legend(name):
    """The legend of a layer as the tree shows it."""
    (layer,) = QgsProject.instance().mapLayersByName(name)
    view = qgis.utils.iface.layerTreeView()
    model = view.layerTreeModel()
    node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
    texts = []
    for item in model.layerLegendNodes(node):
        settings = getattr(item, "settings", None)
        texts.append(str(item.data(0)))
        if settings is not None:
            shown = settings()
            texts += [shown.minimumLabel(), shown.maximumLabel()]
    return texts


def renderer(name):
    """How a layer is drawn."""
    (layer,) = QgsProject.instance().mapLayersByName(name)
    return [layer.renderer().type(), layer.renderer().usesBands()]


def source(name):
    """The file of a layer."""
    (layer,) = QgsProject.instance().mapLayersByName(name)
    return layer.source()


def extent_told(name):
    """Whether a layer tells an extent."""
    (layer,) = QgsProject.instance().mapLayersByName(name)
    return not layer.extent().isNull()


def crs():
    """CRS of the project and of the map."""
    canvas = qgis.utils.iface.mapCanvas()
    return [
        QgsProject.instance().crs().authid(),
        canvas.mapSettings().destinationCrs().authid(),
    ]


def on_map(name, share_x, share_y):
    """Where a place of a raster is on the screen: shares of its width and height."""
    (layer,) = QgsProject.instance().mapLayersByName(name)
    canvas = qgis.utils.iface.mapCanvas()
    box = canvas.mapSettings().layerExtentToOutputExtent(layer, layer.extent())
    point = QgsPointXY(
        box.xMinimum() + share_x * box.width(), box.yMaximum() - share_y * box.height()
    )
    found = canvas.getCoordinateTransform().transform(point)
    return place(canvas, QPoint(round(found.x()), round(found.y())))


def drawing():
    """Whether the map is being drawn."""
    return qgis.utils.iface.mapCanvas().isDrawing()


def screenshot(name):
    """What is on the screen."""
    screen = QApplication.primaryScreen()
    return screen.grabWindow(0).save(str(OUT / name))


def windows_resize(width, height):
    """Give the main window a size, as a person drags its corner."""
    main = qgis.utils.iface.mainWindow()
    main.move(0, 0)
    main.resize(width, height)


def quit_qgis():
    """Leave without being asked to save."""
    for layer in QgsProject.instance().mapLayers().values():
        if isinstance(layer, QgsVectorLayer) and layer.isEditable():
            layer.rollBack()
    QgsProject.instance().clear()
    QTimer.singleShot(0, lambda: qgis.utils.iface.actionExit().trigger())


def answer():
    """Answer the question that lies there, if one does."""
    file = OUT / "ask.json"
    try:
        number, name, words = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    file.unlink()
    try:
        said = {"number": number, "answer": globals()[name](*words)}
    except LookupError as error:
        said = {"number": number, "missing": str(error)}
    except Exception:  # noqa: BLE001 (whatever it is, the tester has to hear it)
        said = {"number": number, "error": traceback.format_exc()}
    part = OUT / "answer.part"
    part.write_text(json.dumps(said), encoding="utf-8")
    part.replace(OUT / "answer.json")


TIMER = QTimer()
TIMER.timeout.connect(answer)
TIMER.start(LOOK_EVERY_MS)
