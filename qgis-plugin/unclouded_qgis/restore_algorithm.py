"""What removing clouds and filling a mask share: parameters, checks, one run of `restore`."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

from qgis.core import (
    QgsProcessingException,
    QgsRasterLayer,
    QgsVectorLayer,
)

from . import checks, masks, process, settings, styles
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


class RestoreAlgorithm(RestoreParameters):
    """Fills masked pixels; see the two subclasses."""

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
        mask = self.parameterAsLayer(parameters, "MASK", context)
        self.mask = None
        if isinstance(mask, QgsVectorLayer):
            self.mask = masks.VectorInput(mask)
        elif isinstance(mask, QgsRasterLayer):
            self.mask = RasterInput(mask)
        self.references = {}
        for name in ("REFERENCE", "REFERENCE_MASK"):
            if self.is_set(parameters, name):
                found = self.parameterAsRasterLayer(parameters, name, context)
                self.references[name] = RasterInput(found)
        self.uncertainty_style = styles.Uncertainty()
        self.styles = {
            "OUTPUT": styles.LikeInput(layer, self.notice()),
            "UNCERTAINTY": self.uncertainty_style,
            "PROVENANCE": styles.provenance(),
        }
        return True

    def problem_or_reason(self, parameters, context):
        """checkParameterValues once more: models and scripts do not call it."""
        _, reason = self.checkParameterValues(parameters, context)
        return reason

    def notice(self):
        """What the message bar says about a result."""
        return tr(
            "{name}: filled pixels are estimates of a model, not measurements. Look at the "
            "uncertainty and the provenance before you measure there."
        )

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
            result = process.run(self.program, words, feedback, process.RESTORE_STAGES)
            numbers = self.numbers(result)
            staging.commit()
        model_bands = (result.get("provenance") or {}).get("model_bands") or [1]
        self.uncertainty_style.band = int(model_bands[0])
        feedback.pushWarning(
            tr(
                "{percent:.1f} % of the pixels are filled: estimates, not measurements."
            ).format(percent=100 * numbers["FILLED_FRACTION"])
        )
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
                styles.attach(context, targets[name], self.styles[name])
        return targets

    def words(self, parameters, context, folder, feedback):
        """The program's arguments without its outputs."""
        scene = self.scene.path(
            _folder(folder, "scene"), context.transformContext(), feedback
        )
        words = ["restore", scene]
        words += self.mask_words(parameters, context, scene, folder, feedback)
        for name, option in (
            ("REFERENCE", "--reference"),
            ("REFERENCE_MASK", "--reference-mask"),
        ):
            if name in self.references:
                inside = _folder(folder, name)
                path = self.references[name].path(
                    inside, context.transformContext(), feedback
                )
                words += [option, path]
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
        bands = checks.numbers(
            self.parameterAsString(parameters, "BANDS", context), int
        )
        if bands:
            words += ["--bands", ",".join(map(str, bands))]
        return words

    def mask_words(self, parameters, context, scene, folder, feedback):
        """--mask and what belongs to it."""
        transform_context = context.transformContext()
        kind = self.mask_from(parameters, context)
        text = self.parameterAsString(parameters, "MASK_VALUES", context) or "1"
        values = checks.numbers(text, float) if kind == FROM_VALUES else []
        words, path = [], None
        if isinstance(self.mask, masks.VectorInput):
            grid = masks.Grid(scene)
            path = masks.burn(
                self.mask, grid, self.scene.crs, folder, transform_context, feedback
            )
            values, kind = [1.0], FROM_VALUES
        elif self.mask is not None:
            grid = masks.Grid(scene)
            path = self.mask.path(_folder(folder, "mask"), transform_context, feedback)
            if not grid.same_pixels(masks.Grid(path)):
                path = masks.warp(path, grid, values, folder, feedback)
        extent = self.parameterAsExtent(parameters, "EXTENT", context, self.scene.crs)
        if self.is_set(parameters, "EXTENT") and not extent.isEmpty():
            if self.program.can("restore", "--extent"):
                corners = (
                    extent.xMinimum(),
                    extent.yMinimum(),
                    extent.xMaximum(),
                    extent.yMaximum(),
                )
                # One word: a western longitude would look like an option.
                words += ["--extent=" + ",".join(repr(corner) for corner in corners)]
            else:
                path = masks.clip(path, grid, values, extent, folder, feedback)
                values = [1.0]
        if path:
            words += ["--mask", path]
        if kind == FROM_VALUES:
            words += ["--mask-values=" + ",".join(map(_plain, values))]
        else:
            words += ["--mask-from", kind]
        dilate = self.parameterAsInt(parameters, "DILATE", context)
        if dilate:
            words += ["--dilate-px", str(dilate)]
        return words

    def check_memory(self, words, feedback):
        """Refuse a run that forecasts more memory than the settings allow."""
        bound = settings.memory_mb()
        if not bound:
            return
        feedback.pushInfo(tr("Forecast of memory and time:"))
        forecast = process.run(self.program, [*words, "--dry-run"], feedback, {})
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
