"""What can be wrong with the values of a run, found before anything is computed."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsProcessing,
    QgsProcessingException,
    QgsRasterLayer,
    QgsVectorLayer,
)

from . import layers, masks
from .compat import tr

ENDINGS = (".tif", ".tiff")


def numbers(text, kind):
    """A list from "1,2"; [] for nothing.

    Raises:
        QgsProcessingException: it is no list of numbers.
    """
    words = [word for word in (text or "").replace(";", ",").split(",") if word.strip()]
    try:
        return [kind(word) for word in words]
    except ValueError:
        raise QgsProcessingException(
            tr("Expected numbers with commas between them, got «{}».").format(text)
        ) from None


def offset(algorithm, parameters, context, program):
    """--offset and its value, or nothing where the program finds it by itself.

    Raises:
        QgsProcessingException: it is neither auto nor a number.
        BackendError: the program has no such option.
    """
    text = algorithm.parameterAsString(parameters, "OFFSET", context).strip()
    if text in ("", "auto"):
        return []
    values = numbers(text, float)
    if len(values) != 1:
        raise QgsProcessingException(
            tr("Expected one number or auto as the offset, got «{}».").format(text)
        )
    program.require(tr("An offset of the pixel values"), algorithm.COMMAND, "--offset")
    return [f"--offset={text}"]


def restore(algorithm, parameters, context, program):
    """Why a run of removeclouds or fillmask cannot work; empty if nothing speaks against it.

    Args:
        algorithm: RestoreAlgorithm.
        program: backend.Backend.

    Raises:
        BackendError, QgsProcessingException: also reasons.
    """
    scene = algorithm.parameterAsRasterLayer(parameters, "INPUT", context)
    if scene is None:
        return tr("The scene cannot be read.")
    problem = layers.refusal(scene)
    if problem:
        return problem
    for found in (
        _mask(algorithm, parameters, context, program, scene),
        _reference(algorithm, parameters, context, program, scene),
        _settings(algorithm, parameters, context, program, scene),
        outputs(
            algorithm, parameters, context, ("OUTPUT", "UNCERTAINTY", "PROVENANCE")
        ),
    ):
        if found:
            return found
    return ""


def _mask(algorithm, parameters, context, program, scene):
    kind = algorithm.mask_from(parameters, context)
    if kind != "values":
        program.require(tr("This way to find clouds"), "restore", "--mask-from")
    if not algorithm.is_set(parameters, "MASK"):
        if kind == "values":
            return (
                tr("There is no mask.")
                + "\n"
                + tr("Hint: choose a raster or polygons that mark what to fill.")
            )
        return ""
    mask = algorithm.parameterAsLayer(parameters, "MASK", context)
    if isinstance(mask, QgsVectorLayer):
        if kind != "values":
            return (
                tr("Polygons hold no cloud classes.")
                + "\n"
                + tr(
                    "Hint: set 'Mask from' to the values of the mask, or choose a raster."
                )
            )
        masks.VectorInput(mask)
    elif isinstance(mask, QgsRasterLayer):
        problem = layers.refusal(mask)
        if problem:
            return problem
        if mask.source() == scene.source() and kind == "values":
            return (
                tr("The mask is the scene itself.")
                + "\n"
                + tr("Hint: choose a raster or polygons that mark what to fill.")
            )
        if kind == "values" and not numbers(
            algorithm.parameterAsString(parameters, "MASK_VALUES", context) or "1",
            float,
        ):
            return tr("There are no mask values.")
    else:
        return tr("The mask cannot be read.")
    if kind == "auto":
        return (
            tr("Detecting clouds in the scene uses no mask.")
            + "\n"
            + tr("Hint: leave the mask empty, or choose another 'Mask from'.")
        )
    return _apart(mask, scene, context)


def _apart(mask, scene, context):
    """A message if the mask lies nowhere over the scene."""
    known = mask.crs().isValid() and scene.crs().isValid()
    size = (scene.width(), scene.height())
    is_raster = isinstance(mask, QgsRasterLayer)
    if not known and is_raster and (mask.width(), mask.height()) == size:
        return ""  # not georeferenced: pixel by pixel
    box = mask.extent()
    if box.isNull():
        return tr("The mask {} is empty.").format(mask.name())
    if known and mask.crs() != scene.crs():
        try:
            box = QgsCoordinateTransform(
                mask.crs(), scene.crs(), context.transformContext()
            ).transformBoundingBox(box)
        except QgsCsException as error:
            return tr("The mask cannot be brought into the scene's CRS: {}").format(
                error
            )
    if box.intersects(scene.extent()):
        return ""
    return (
        tr("The mask {mask} does not lie over the scene {scene}.").format(
            mask=mask.name(), scene=scene.name()
        )
        + "\n"
        + tr(
            "Expected something inside {scene}, got {mask} (CRS of the scene)."
        ).format(scene=scene.extent().toString(6), mask=box.toString(6))
        + "\n"
        + tr("Hint: is it the mask of another scene, or is its CRS wrong?")
    )


def _reference(algorithm, parameters, context, program, scene):
    for name, option in (
        ("REFERENCE", "--reference"),
        ("REFERENCE_MASK", "--reference-mask"),
    ):
        if not algorithm.is_set(parameters, name):
            continue
        program.require(tr("A reference date"), "restore", option)
        layer = algorithm.parameterAsRasterLayer(parameters, name, context)
        if layer is None:
            return tr("The reference cannot be read.")
        problem = layers.refusal(layer)
        if problem:
            return problem
        size, wanted = (layer.width(), layer.height()), (scene.width(), scene.height())
        if size != wanted:
            return (
                tr("The reference has {} x {} pixels, the scene {} x {}.").format(
                    *size, *wanted
                )
                + "\n"
                + tr("Hint: bring it onto the scene's grid with Warp (reproject).")
            )
        if name == "REFERENCE_MASK" and not algorithm.is_set(parameters, "REFERENCE"):
            return tr("There is a mask of the reference, but no reference.")
    return ""


def _settings(algorithm, parameters, context, program, scene):
    offset(algorithm, parameters, context, program)
    quality = algorithm.choice(parameters, "QUALITY", context)
    if quality != "balanced":
        program.require(tr("The quality «{}»").format(quality), "restore", "--quality")
    method = algorithm.choice(parameters, "METHOD", context)
    if method != "default":
        program.require(tr("The method «{}»").format(method), "restore", "--method")
    write = algorithm.choice(parameters, "WRITE", context)
    if write != "mean":
        what = tr("The result «{}»").format(write)
        program.require(what, "restore", f"--write={write}")
    if write == "texture" and algorithm.is_set(parameters, "REFERENCE"):
        return (
            tr("The result «texture» is drawn without a reference of another date.")
            + "\n"
            + tr("Hint: choose the result «mean», or leave the reference empty.")
        )
    bands = numbers(algorithm.parameterAsString(parameters, "BANDS", context), int)
    for band in bands:
        if not 1 <= band <= scene.bandCount():
            return tr(
                "Band {band} does not exist: the scene has bands 1 to {count}."
            ).format(band=band, count=scene.bandCount())
    if wanted(parameters.get("UNCERTAINTY"), context) and (
        algorithm.is_set(parameters, "SAMPLES")
        and algorithm.parameterAsInt(parameters, "SAMPLES", context) < 2
    ):
        return (
            tr(
                "The uncertainty is the spread of several samples, and there is only one."
            )
            + "\n"
            + tr("Hint: set the samples to 4 or more, or skip the output Uncertainty.")
        )
    if algorithm.is_set(parameters, "TILE") and algorithm.is_set(parameters, "OVERLAP"):
        tile = algorithm.parameterAsInt(parameters, "TILE", context)
        if algorithm.parameterAsInt(parameters, "OVERLAP", context) >= tile:
            return tr("The tiles' overlap must be smaller than the tiles ({}).").format(
                tile
            )
    if algorithm.is_set(parameters, "EXTENT"):
        extent = algorithm.parameterAsExtent(parameters, "EXTENT", context, scene.crs())
        if not extent.intersects(scene.extent()):
            return (
                tr("The extent does not lie over the scene.")
                + "\n"
                + tr("Hint: draw it on the map over the clouds, or leave it empty.")
            )
        # Without --extent the plugin clips the mask, and the program would grow it back out.
        grows = algorithm.parameterAsInt(parameters, "DILATE", context) > 0
        if grows or algorithm.mask_from(parameters, context) != "values":
            program.require(tr("An extent with such a mask"), "restore", "--extent")
    return ""


def outputs(algorithm, parameters, context, names):
    """A message if an output is an input, another output or no GeoTIFF."""
    inputs = {}
    for name in ("INPUT", "MASK", "REFERENCE", "REFERENCE_MASK"):
        if algorithm.parameterDefinition(name) and algorithm.is_set(parameters, name):
            layer = algorithm.parameterAsLayer(parameters, name, context)
            if layer is not None:
                inputs[_place(layer.source().split("|")[0])] = name
    taken = {}
    for name in names:
        path = destination(parameters.get(name), context)
        if not path:
            continue
        if not path.lower().endswith(ENDINGS):
            return tr(
                "{name}: expected a name ending in .tif (GeoTIFF), got {path}"
            ).format(name=name, path=path)
        if _place(path) in inputs:
            return tr(
                "{name} is the file of {other}: inputs are never written to."
            ).format(name=name, other=inputs[_place(path)])
        if _place(path) in taken:
            return tr(
                "{name} and {other} are one file: every output needs its own."
            ).format(name=name, other=taken[_place(path)])
        taken[_place(path)] = name
    return ""


def destination(value, context):
    """The file an output parameter names; empty for a temporary or skipped one.

    Not parameterAsOutputLayer: that also tells QGIS to load the file later.
    """
    sink = getattr(value, "sink", value)
    if hasattr(sink, "valueAsString"):
        sink = sink.valueAsString(context.expressionContext(), "")[0]
    path = str(sink or "")
    return "" if path == QgsProcessing.TEMPORARY_OUTPUT else path


def wanted(value, context):
    """Whether an output parameter asks for its output."""
    sink = getattr(value, "sink", value)
    temporary = getattr(sink, "staticValue", lambda: sink)()
    return temporary == QgsProcessing.TEMPORARY_OUTPUT or bool(
        destination(value, context)
    )


def _place(path):
    return os.path.normcase(os.path.realpath(path))
