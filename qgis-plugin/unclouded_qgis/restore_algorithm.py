"""What removing clouds and filling a mask share: parameters, checks, one run of `restore`."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

from qgis.core import (
    QgsProcessingException,
    QgsVectorLayer,
)

from . import checks, input_checks, masks, process, results, settings, styles
from .compat import tr
from .layers import RasterInput
from .restore_parameters import MEAN, UNSET, RestoreParameters
from .staging import Staging

OUTPUTS = (
    ("OUTPUT", "--output"),
    ("UNCERTAINTY", "--uncertainty"),
    ("PROVENANCE", "--provenance"),
)
NUMBERS = (
    ("SAMPLES", "--samples"),
    ("STEPS", "--steps"),
    ("TILE", "--tile-px"),
    ("OVERLAP", "--overlap-px"),
)
# With the word that is not passed on.
CHOICES = (
    ("SAMPLER", "--sampler", UNSET),
    ("METHOD", "--method", UNSET),
    ("WRITE", "--write", MEAN),
)
FROM_VALUES = "values"
DETECT = "auto"


class RestoreAlgorithm(RestoreParameters):
    """Fills masked pixels; see the two subclasses."""

    # How far drawn polygons grow unless the user says how far.
    DRAWN_GROWTH_M = 0.0

    def createCustomParametersWidget(self, parent=None):
        """The dialog that shows only what applies; see dialog.py."""
        from .dialog import RestoreDialog

        return RestoreDialog(self, parent=parent)

    def result_name(self, scene):
        """How the result of a scene is called in the layer tree."""
        raise NotImplementedError

    def problem(self, parameters, context):
        """See checks.py."""
        return checks.restore(self, parameters, context, self.backend())

    def mask_from(self, _parameters, _context):
        """How the mask is read: `values`, or a word for --mask-from."""
        return FROM_VALUES

    def prepareAlgorithm(self, parameters, context, feedback):
        """Take what is needed of the layers, on their own thread."""
        self.program = self.backend_or_raise()
        problem = self.problem_or_reason(parameters, context)
        if problem:
            raise QgsProcessingException(problem)
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        self.scene = RasterInput(layer)
        self.mask = self.mask_input(parameters, "MASK", context)
        self.reference, self.reference_mask = None, None
        if self.is_set(parameters, "REFERENCE"):
            found = self.parameterAsRasterLayer(parameters, "REFERENCE", context)
            self.reference = RasterInput(found)
            self.reference_mask = self.mask_input(parameters, "REFERENCE_MASK", context)
        self.more_dates = [
            RasterInput(layer)
            for layer in input_checks.more_dates(self, parameters, context)
        ]
        self.results = results.Results(layer, self.result_name(layer.name()))
        return True

    def mask_input(self, parameters, name, context):
        """What a run needs of a mask layer, or None if there is none."""
        if not self.is_set(parameters, name):
            return None
        layer = self.parameterAsLayer(parameters, name, context)
        if isinstance(layer, QgsVectorLayer):
            only = name == "MASK" and self.parameterAsBool(
                parameters, "SELECTED_ONLY", context
            )
            return masks.VectorInput(layer, only)
        return RasterInput(layer)

    def problem_or_reason(self, parameters, context):
        """checkParameterValues once more: models and scripts do not call it."""
        _, reason = self.checkParameterValues(parameters, context)
        return reason

    def processAlgorithm(self, parameters, context, feedback):
        """Bring the mask onto the grid, run the program, give the results their names."""
        parameters = self.by_number(parameters)
        self.targets = self.open_targets(parameters, context)
        with Staging() as staging, staging.folder() as folder:
            words = self.words(parameters, context, folder, feedback)
            for name, option in OUTPUTS:
                if name in self.targets:
                    words += [option, staging.path(self.targets[name])]
            if feedback.isCanceled():
                raise process.cancelled()
            self.check_memory(words, feedback)
            result = process.run(
                self.program,
                words,
                feedback,
                process.RESTORE_STAGES,
                self.dialog_words(),
            )
            numbers = self.numbers(result)
            staging.commit()
        model_bands = (result.get("provenance") or {}).get("model_bands") or [1]
        self.results.know(numbers["FILLED_FRACTION"], int(model_bands[0]))
        feedback.pushInfo(self.results.summary())
        feedback.pushInfo(
            tr("{} clear pixels changed").format(numbers["CLEAR_PIXELS_CHANGED"])
        )
        return {**self.targets, **numbers}

    def open_targets(self, parameters, context):
        """Output names to paths, and how QGIS shall load and style them.

        Here and not in prepareAlgorithm: a run in the background has a context of its own, and
        what was asked of the other one is lost.
        """
        targets = {}
        for name, _ in OUTPUTS:
            if checks.wanted(parameters.get(name), context):
                targets[name] = self.parameterAsOutputLayer(parameters, name, context)
                styles.attach(context, targets[name], self.results.processor(name))
        return targets

    def words(self, parameters, context, folder, feedback):
        """The program's arguments without its outputs."""
        scene = self.scene.path(
            _folder(folder, "scene"), context.transformContext(), feedback
        )
        words = ["restore", scene]
        words += self.mask_words(parameters, context, scene, folder, feedback)
        words += self.reference_words(parameters, context, folder, feedback)
        words += checks.offset(self, parameters, context, self.program)
        model = self.parameterAsString(parameters, "MODEL", context).strip()
        if model:
            words += ["--model", model]
        # A program without the option has one quality, which is called balanced.
        if self.program.can("restore", "--quality"):
            words += ["--quality", self.choice(parameters, "QUALITY", context)]
        words += ["--seed", str(self.parameterAsInt(parameters, "SEED", context))]
        for name, option in NUMBERS:
            if self.is_set(parameters, name):
                words += [option, str(self.parameterAsInt(parameters, name, context))]
        for name, option, usual in CHOICES:
            chosen = self.choice(parameters, name, context)
            if chosen != usual:
                words += [option, chosen]
        device = self.choice(parameters, "DEVICE", context)
        words += ["--device", settings.device() if device == UNSET else device]
        text = self.parameterAsString(parameters, "BANDS", context)
        bands = checks.numbers(self, "BANDS", text, int)
        if bands:
            words += ["--bands", ",".join(map(str, bands))]
        return words

    def mask_words(self, parameters, context, scene, folder, feedback):
        """--mask and what belongs to it."""
        kind = self.mask_from(parameters, context)
        text = self.parameterAsString(parameters, "MASK_VALUES", context)
        values = checks.numbers(self, "MASK_VALUES", text, float)
        if kind != FROM_VALUES:
            values = []
        words, path = [], None
        grid = masks.Grid(scene)
        if self.mask is not None:
            path = self.on_grid(self.mask, grid, values, context, folder, feedback)
            if isinstance(self.mask, masks.VectorInput):
                values, kind = [1.0], FROM_VALUES
        extent = self.parameterAsExtent(parameters, "EXTENT", context, self.scene.crs)
        if self.is_set(parameters, "EXTENT") and not extent.isEmpty():
            corners = (
                extent.xMinimum(),
                extent.yMinimum(),
                extent.xMaximum(),
                extent.yMaximum(),
            )
            # One word: a western longitude would look like an option.
            words += ["--extent=" + ",".join(repr(corner) for corner in corners)]
        if path:
            words += ["--mask", path]
        if values:
            words += ["--mask-values=" + ",".join(map(_plain, values))]
        if kind != FROM_VALUES:
            words += ["--mask-from", kind]
        return words + self.growth_words(parameters, context, feedback)

    def growth_words(self, parameters, context, feedback):
        """--dilate-m; nothing where the program's own default is right."""
        if self.is_set(parameters, "GROW"):
            metres = self.parameterAsDouble(parameters, "GROW", context)
        elif isinstance(self.mask, masks.VectorInput) and self.DRAWN_GROWTH_M:
            # The program sees the polygons burnt into a raster, which it takes as it is.
            metres = self.DRAWN_GROWTH_M
            feedback.pushInfo(
                tr(
                    "mask: the polygons are grown by {:g} m; «{}» says otherwise"
                ).format(metres, self.label("GROW"))
            )
        else:
            return []
        return ["--dilate-m", _plain(metres)]

    def reference_words(self, parameters, context, folder, feedback):
        """--reference and what belongs to it."""
        more = []
        for number, date in enumerate(self.more_dates):
            inside = _folder(folder, f"date{number}")
            path = date.path(inside, context.transformContext(), feedback)
            more += ["--reference", path]
        if self.reference is None:
            return more
        inside = _folder(folder, "reference")
        path = self.reference.path(inside, context.transformContext(), feedback)
        words = ["--reference", path]
        if self.reference_mask is not None:
            mask = self.on_grid(
                self.reference_mask,
                masks.Grid(path),
                [],
                context,
                _folder(folder, "reference_mask"),
                feedback,
                self.reference.crs,
            )
            words += ["--reference-mask", mask]
        elif self.choice(parameters, "REFERENCE_CLOUDS", context) == DETECT:
            words += ["--reference-mask-from", DETECT]
        return words + more

    def on_grid(self, mask, grid, values, context, folder, feedback, crs=None):
        """The path of a mask on a grid: polygons burnt, rasters warped unless they fit."""
        transform_context = context.transformContext()
        if isinstance(mask, masks.VectorInput):
            return masks.burn(
                mask,
                grid,
                crs or self.scene.crs,
                folder,
                transform_context,
                feedback,
            )
        path = mask.path(_folder(folder, "mask"), transform_context, feedback)
        if grid.same_pixels(masks.Grid(path)):
            return path
        return masks.warp(path, grid, values, folder, feedback)

    def check_memory(self, words, feedback):
        """Refuse a run that forecasts more memory than the settings allow."""
        bound = settings.memory_mb()
        if not bound:
            return
        feedback.pushInfo(tr("Forecast of memory and time:"))
        forecast = process.run(
            self.program, [*words, "--dry-run"], feedback, {}, self.dialog_words()
        )
        needed = forecast.get("memory_bytes", 0) / 1e6
        if needed > bound:
            raise QgsProcessingException(
                tr(
                    "The run would need about {needed:.0f} MB, the settings allow {bound}."
                ).format(needed=needed, bound=bound)
                + "\n"
                + tr(
                    "Hint: a smaller tile size or fewer samples need less; the bound is in "
                    "Settings > Options > unclouded."
                )
            )

    def numbers(self, result):
        """FILLED_FRACTION and CLEAR_PIXELS_CHANGED from the program's result."""
        try:
            pixels = result["pixels"]
            fraction = pixels["fill"] / pixels["data"]
            changed = int(result["clear_pixels_changed"])
        except (KeyError, TypeError, ZeroDivisionError):
            raise QgsProcessingException(
                tr(
                    "The program unclouded reported a result this plugin does not understand."
                )
                + "\n"
                + tr("Hint: install a plugin and a program of the same version.")
            ) from None
        if changed:
            raise QgsProcessingException(
                tr("{} clear pixels would have changed; nothing was written.").format(
                    changed
                )
                + "\n"
                + tr("Hint: this is a defect of unclouded: please report it.")
            )
        return {"FILLED_FRACTION": fraction, "CLEAR_PIXELS_CHANGED": changed}


def _plain(number):
    return str(int(number)) if number.is_integer() else repr(number)


def _folder(parent, name):
    path = os.path.join(parent, name)
    os.makedirs(path, exist_ok=True)
    return path
