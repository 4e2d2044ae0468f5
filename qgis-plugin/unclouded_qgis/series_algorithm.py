"""unclouded:series: every date of a place filled from the others, and a stack without gaps."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

from qgis.core import (
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
)

from . import layers, process
from .algorithm import UncloudedAlgorithm
from .compat import NUMBER_INTEGER, TYPE_RASTER, tr
from .layers import RasterInput
from .staging import Staging


class Series(UncloudedAlgorithm):
    """Runs `unclouded series`."""

    NAME = "series"
    COMMAND = "series"

    def displayName(self):
        """See QgsProcessingAlgorithm."""
        return tr("Fill a series")

    def shortDescription(self):
        """See QgsProcessingAlgorithm."""
        return tr("Fills every date of a place from the others")

    def shortHelpString(self):
        """See QgsProcessingAlgorithm."""
        return tr(
            "Finds the clouds of each date and fills it from what the others show, never from "
            "filled pixels. Every result keeps the grid, type and metadata of its date; the "
            "masks lie in the folder beside them.\n\n"
            "Run it again with the same folder to go on where it was stopped, or when new dates "
            "have come in: what is complete is left as it is. Dates are read from the names "
            "(2018-06-25 or 20180625) or from the metadata."
        )

    def initAlgorithm(self, _configuration=None):
        """See QgsProcessingAlgorithm."""
        self.add(
            QgsProcessingParameterMultipleLayers("INPUT", tr("Dates"), TYPE_RASTER),
            tr("Images of one place at different dates, cloudy ones as well."),
        )
        self.add_choice(
            "MASK_FROM",
            tr("Clouds"),
            [
                ("auto", tr("detect them in each date")),
                ("scl", tr("Sentinel-2 scene classification (SCL)")),
                ("qa-pixel", tr("Landsat QA_PIXEL")),
            ],
            tr("Where the clouds come from; SCL and QA_PIXEL are bands of the dates."),
        )
        self.add(
            QgsProcessingParameterNumber(
                "EVERY",
                tr("Also a date every so many days"),
                NUMBER_INTEGER,
                None,
                True,
                1,
                3650,
            ),
            tr(
                "A stack without gaps in the folder «even»: the filled date where the day was "
                "observed, else linear in time between the dates before and after."
            ),
        )
        self.add(
            QgsProcessingParameterBoolean("UNCERTAINTY", tr("Uncertainty"), False),
            tr("Also write the standard deviation of each fill."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean("PROVENANCE", tr("Provenance"), False),
            tr("Also write which pixels were filled."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFolderDestination("OUTPUT", tr("Folder")),
            tr("Where the filled dates go, under their names."),
        )

    def checkParameterValues(self, parameters, context):
        """See QgsProcessingAlgorithm."""
        fine, reason = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, reason
        found = self.dates(parameters, context)
        if len(found) < 2:
            return False, (
                tr("A series has at least two dates.")
                + "\n"
                + tr("Hint: one scene is filled by 'Remove clouds'.")
            )
        for layer in found:
            problem = layers.refusal(layer)
            if problem:
                return False, problem
        return True, ""

    def dates(self, parameters, context):
        """The layers of the dates."""
        return self.parameterAsLayerList(parameters, "INPUT", context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """Take what is needed of the layers, on their own thread."""
        self.program = self.backend_or_raise()
        fine, problem = self.checkParameterValues(parameters, context)
        if not fine:
            raise QgsProcessingException(problem)
        self.inputs = [RasterInput(layer) for layer in self.dates(parameters, context)]
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """Run the program: it goes on in the folder itself, so nothing is staged."""
        target = self.parameterAsString(parameters, "OUTPUT", context)
        with Staging() as staging, staging.folder() as folder:
            words = ["series"]
            for number, date in enumerate(self.inputs):
                inside = os.path.join(folder, str(number))
                os.makedirs(inside)
                path = date.path(inside, context.transformContext(), feedback)
                words.append(path)
            words += ["--output", target]
            words += ["--mask-from", self.choice(parameters, "MASK_FROM", context)]
            if self.is_set(parameters, "EVERY"):
                every = self.parameterAsInt(parameters, "EVERY", context)
                words += ["--every", f"{every}d"]
            for name in ("UNCERTAINTY", "PROVENANCE"):
                if self.parameterAsBool(parameters, name, context):
                    words.append(f"--{name.lower()}")
            process.run(
                self.program,
                words,
                feedback,
                process.SERIES_STAGES,
                self.dialog_words(),
            )
        return {"OUTPUT": target}
