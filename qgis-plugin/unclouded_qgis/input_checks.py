"""What can be wrong with the mask and the other date of a run: the layers beside the scene."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeatureRequest,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)

from . import checks, layers, masks
from .compat import tr


def mask(algorithm, parameters, context, program, scene):
    """Why the answer to where to fill cannot be used; empty if it can.

    Args:
        algorithm: RestoreAlgorithm.
        program: backend.Backend.
        scene: QgsRasterLayer.

    Raises:
        BackendError, QgsProcessingException: also reasons.
    """
    kind = algorithm.mask_from(parameters, context)
    if kind != "values":
        program.require(tr("This way to find clouds"), "restore", "--mask-from")
    if not algorithm.is_set(parameters, "MASK"):
        return _no_mask(algorithm) if kind == "values" else ""
    if kind == "auto":
        return (
            tr("The clouds are to be detected in the scene, and there is a mask, too.")
            + "\n"
            + tr(
                "Hint: leave «{mask}» empty, or choose a mask under «{clouds}»."
            ).format(mask=algorithm.label("MASK"), clouds=algorithm.label("MASK_FROM"))
        )
    layer = algorithm.parameterAsLayer(parameters, "MASK", context)
    if isinstance(layer, QgsVectorLayer):
        return _polygon_mask(
            algorithm, parameters, context, layer, kind
        ) or _polygons_apart(layer, scene, context)
    if isinstance(layer, QgsRasterLayer):
        return _raster_mask(
            algorithm, parameters, context, layer, kind, scene
        ) or _raster_apart(layer, scene, context, tr("mask"))
    return tr("The mask cannot be read.")


def _polygon_mask(algorithm, parameters, context, layer, kind):
    masks.VectorInput(layer)
    if kind != "values":
        return (
            tr("Polygons hold no cloud classes.")
            + "\n"
            + tr("Hint: choose a raster, or under «{}» the polygons you drew.").format(
                algorithm.label("MASK_FROM")
            )
        )
    selected_only = algorithm.parameterAsBool(parameters, "SELECTED_ONLY", context)
    if selected_only and not layer.selectedFeatureCount():
        return (
            tr("No polygon of {} is selected.").format(layer.name())
            + "\n"
            + tr("Hint: select some in the map, or take the tick off «{}».").format(
                algorithm.label("SELECTED_ONLY")
            )
        )
    return ""


def _raster_mask(algorithm, parameters, context, layer, kind, scene):
    problem = layers.refusal(layer)
    if problem:
        return problem
    if layer.source() == scene.source() and kind == "values":
        return (
            tr("The mask is the scene itself.")
            + "\n"
            + tr("Hint: choose a raster or polygons that mark what to fill.")
        )
    text = algorithm.parameterAsString(parameters, "MASK_VALUES", context)
    checks.numbers(algorithm, "MASK_VALUES", text, float)
    return ""


def _no_mask(algorithm):
    hint = tr("Hint: choose a raster or polygons that mark what to fill.")
    if algorithm.parameterDefinition("MASK_FROM"):
        hint = tr(
            "Hint: choose polygons or a raster under «{mask}», or let the clouds be detected: "
            "that is an answer to «{clouds}»."
        ).format(mask=algorithm.label("MASK"), clouds=algorithm.label("MASK_FROM"))
    return tr("There is no mask.") + "\n" + hint


def reference(algorithm, parameters, context, program, scene):
    """Why the other date cannot be used; empty if it can, or if there is none. See `mask`."""
    if not algorithm.is_set(parameters, "REFERENCE"):
        if algorithm.is_set(parameters, "REFERENCE_MASK"):
            return tr("There is a mask of the other date's clouds, but no other date.")
        return ""
    program.require(tr("Another date"), "restore", "--reference")
    layer = algorithm.parameterAsRasterLayer(parameters, "REFERENCE", context)
    if layer is None:
        return tr("The other date cannot be read.")
    problem = layers.refusal(layer)
    if problem:
        return problem
    if layer.source() == scene.source():
        return (
            tr("The other date is the scene itself: its clouds would be painted back.")
            + "\n"
            + tr("Hint: choose an image of another day, or leave «{}» empty.").format(
                algorithm.label("REFERENCE")
            )
        )
    detects = algorithm.choice(parameters, "REFERENCE_CLOUDS", context) == "auto"
    if detects:
        program.require(
            tr("Detecting clouds in the other date"), "restore", "--reference-mask-from"
        )
    if algorithm.is_set(parameters, "REFERENCE_MASK"):
        if detects:
            return tr(
                "The clouds of the other date are to be detected, and there is a mask of them, "
                "too."
            )
        problem = _reference_mask(algorithm, parameters, context, layer)
    return problem or _raster_apart(layer, scene, context, tr("other date"))


def more_dates(algorithm, parameters, context):
    """The layers of the other dates besides the one that may have a mask."""
    if algorithm.parameterDefinition("REFERENCES") is None:
        return []
    found = algorithm.parameterAsLayerList(parameters, "REFERENCES", context)
    return [layer for layer in found if isinstance(layer, QgsRasterLayer)]


def several_dates(algorithm, parameters, context, program, scene):
    """Why several other dates cannot be used; empty if they can, or if there are none."""
    dates = more_dates(algorithm, parameters, context)
    if not dates:
        return ""
    program.require(tr("Several other dates"), "restore", "--max-references")
    if algorithm.is_set(parameters, "REFERENCE_MASK"):
        return (
            tr(
                "There is a mask of the clouds of one date, and there are several dates."
            )
            + "\n"
            + tr(
                "Hint: leave «{}» empty: clouds are looked for in each of several dates."
            ).format(algorithm.label("REFERENCE_MASK"))
        )
    for layer in dates:
        problem = layers.refusal(layer) or _raster_apart(
            layer, scene, context, tr("other date")
        )
        if problem:
            return problem
    return ""


def _reference_mask(algorithm, parameters, context, other):
    layer = algorithm.parameterAsLayer(parameters, "REFERENCE_MASK", context)
    if isinstance(layer, QgsVectorLayer):
        masks.VectorInput(layer)
        return _polygons_apart(layer, other, context)
    if not isinstance(layer, QgsRasterLayer):
        return tr("The mask of the other date's clouds cannot be read.")
    return layers.refusal(layer) or _raster_apart(layer, other, context, tr("mask"))


def _polygons_apart(layer, scene, context):
    """A message if no polygon lies over the scene.

    The polygons are asked, unsaved ones as well: the extent that a layer tells may be that of an
    earlier day.
    """
    box, known = scene.extent(), layer.crs().isValid() and scene.crs().isValid()
    there = QgsCoordinateTransform(scene.crs(), layer.crs(), context.transformContext())
    try:
        if known:
            box = there.transformBoundingBox(box)
    except QgsCsException as error:
        return tr("The mask cannot be brought into the scene's CRS: {}").format(error)
    request = QgsFeatureRequest().setNoAttributes().setFilterRect(box).setLimit(1)
    if next(layer.getFeatures(request), None) is not None:
        return ""
    covered = QgsRectangle()
    covered.setMinimal()
    for feature in layer.getFeatures(QgsFeatureRequest().setNoAttributes()):
        if feature.hasGeometry():
            covered.combineExtentWith(feature.geometry().boundingBox())
    if covered.isNull():
        return (
            tr("The mask {} is empty: it has no polygon.").format(layer.name())
            + "\n"
            + tr("Hint: draw polygons over what to fill.")
        )
    return _elsewhere(tr("mask"), layer, covered, scene, box)


def _raster_apart(layer, scene, context, what):
    """A message if a raster lies nowhere over the scene."""
    known = layer.crs().isValid() and scene.crs().isValid()
    size = (scene.width(), scene.height())
    if not known and (layer.width(), layer.height()) == size:
        return ""  # not georeferenced: pixel by pixel
    box = layer.extent()
    if known and layer.crs() != scene.crs():
        try:
            box = QgsCoordinateTransform(
                layer.crs(), scene.crs(), context.transformContext()
            ).transformBoundingBox(box)
        except QgsCsException as error:
            return tr(
                "The {what} cannot be brought into the scene's CRS: {why}"
            ).format(what=what, why=error)
    if box.intersects(scene.extent()):
        return ""
    return _elsewhere(what, layer, box, scene, scene.extent())


def _elsewhere(what, layer, box, scene, wanted):
    return (
        tr("The {what} {name} does not lie over the scene {scene}.").format(
            what=what, name=layer.name(), scene=scene.name()
        )
        + "\n"
        + tr("Expected something inside {wanted}, got {got}.").format(
            wanted=wanted.toString(6), got=box.toString(6)
        )
        + "\n"
        + tr("Hint: is it of another place, or is its CRS wrong?")
    )
