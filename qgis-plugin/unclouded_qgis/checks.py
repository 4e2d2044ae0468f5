"""What can be wrong with the values of a run, found before anything is computed."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

from qgis.core import QgsProcessing, QgsProcessingException

from . import input_checks, layers
from .compat import tr

ENDINGS = (".tif", ".tiff")


def numbers(algorithm, name, text, kind):
    """A list from "1,2"; [] for nothing.

    Args:
        name: of the parameter that holds the text.

    Raises:
        QgsProcessingException: it is no list of numbers.
    """
    words = [word for word in (text or "").replace(";", ",").split(",") if word.strip()]
    try:
        return [kind(word) for word in words]
    except ValueError:
        raise QgsProcessingException(
            tr(
                "«{label}»: expected numbers with commas between them, got «{text}»."
            ).format(label=algorithm.label(name), text=text)
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
    values = numbers(algorithm, "OFFSET", text, float)
    if len(values) != 1:
        raise QgsProcessingException(
            tr("«{label}»: expected one number or auto, got «{text}».").format(
                label=algorithm.label("OFFSET"), text=text
            )
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
        input_checks.mask(algorithm, parameters, context, program, scene),
        input_checks.reference(algorithm, parameters, context, program, scene),
        input_checks.several_dates(algorithm, parameters, context, program, scene),
        _settings(algorithm, parameters, context, program, scene),
        outputs(
            algorithm, parameters, context, ("OUTPUT", "UNCERTAINTY", "PROVENANCE")
        ),
    ):
        if found:
            return found
    return ""


def _settings(algorithm, parameters, context, program, scene):
    if algorithm.is_set(parameters, "DILATE"):
        return (
            tr("DILATE (pixels) is called GROW now, and counts metres.")
            + "\n"
            + tr("Hint: 3 pixels of a 10 m scene are 30.")
        )
    if algorithm.is_set(parameters, "GROW"):
        program.require(tr("Growing by metres"), "restore", "--dilate-m")
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
    dated = algorithm.is_set(parameters, "REFERENCE") or input_checks.more_dates(
        algorithm, parameters, context
    )
    if write == "texture" and dated:
        return (
            tr("A texture is drawn from the scene alone, without another date.")
            + "\n"
            + tr("Hint: choose the result for measuring, or leave «{}» empty.").format(
                algorithm.label("REFERENCE")
            )
        )
    text = algorithm.parameterAsString(parameters, "BANDS", context)
    bands = numbers(algorithm, "BANDS", text, int)
    for band in bands:
        if not 1 <= band <= scene.bandCount():
            return tr(
                "Band {band} does not exist: the scene has bands 1 to {count}."
            ).format(band=band, count=scene.bandCount())
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
        program.require(tr("An extent"), "restore", "--extent")
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
            ).format(name=algorithm.label(name), path=path)
        if _place(path) in inputs:
            return tr(
                "{name} is the file of {other}: inputs are never written to."
            ).format(
                name=algorithm.label(name), other=algorithm.label(inputs[_place(path)])
            )
        if _place(path) in taken:
            return tr(
                "{name} and {other} are one file: every output needs its own."
            ).format(
                name=algorithm.label(name), other=algorithm.label(taken[_place(path)])
            )
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
