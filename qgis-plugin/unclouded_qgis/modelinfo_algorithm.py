"""unclouded:modelinfo: what a model is, what it was trained on, and how well it does."""

# SPDX-License-Identifier: GPL-2.0-or-later

import html
import json
import os
import subprocess
import tempfile

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterFile,
    QgsProcessingUtils,
)

from .algorithm import UncloudedAlgorithm
from .backend import no_window
from .compat import FILE, tr

# Reading and checking a model takes a second; one that takes longer than this hangs.
ANSWER_SECONDS = 120


class ModelInfo(UncloudedAlgorithm):
    """Runs `unclouded info --json`."""

    NAME = "modelinfo"
    COMMAND = "info"

    def displayName(self):
        """See QgsProcessingAlgorithm."""
        return tr("Model information")

    def shortDescription(self):
        """See QgsProcessingAlgorithm."""
        return tr("Describes a model: bands, training data, licence, measured quality")

    def shortHelpString(self):
        """See QgsProcessingAlgorithm."""
        return tr(
            "Shows the card of a model: which bands it looks at, what it was trained on and "
            "under which licence, its default settings, its measured quality and its "
            "checksum. The weights are loaded, so a damaged file is found out."
        )

    def initAlgorithm(self, _configuration=None):
        """See QgsProcessingAlgorithm."""
        self.add(
            QgsProcessingParameterFile("MODEL", tr("Model"), FILE, optional=True),
            tr(
                "A checkpoint file (.safetensors) or the name of a model inside the program. "
                "Empty: the program's default."
            ),
        )
        self.addOutput(QgsProcessingOutputHtml("REPORT", tr("Report")))
        self.addOutput(QgsProcessingOutputString("NAME", tr("Name")))
        self.addOutput(QgsProcessingOutputString("BANDS", tr("Bands")))
        self.addOutput(
            QgsProcessingOutputString("SHA256", tr("SHA-256 of the weights"))
        )
        self.addOutput(QgsProcessingOutputNumber("SIZE_BYTES", tr("Size in bytes")))

    def processAlgorithm(self, parameters, context, feedback):
        """Ask the program and write the report."""
        program = self.backend_or_raise()
        model = self.parameterAsString(parameters, "MODEL", context).strip()
        if not model and not program.models:
            raise QgsProcessingException(tr("There is no model inside the program."))
        command = [program.path, "info", model or program.models[0], "--json"]
        feedback.pushCommandInfo(subprocess.list2cmdline(command))
        try:
            answer = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ANSWER_SECONDS,
                env={**os.environ, **program.environment},
                check=False,
                **no_window(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise QgsProcessingException(str(error)) from None
        if answer.returncode != 0:
            words = answer.stderr.decode("utf-8", "replace").strip()
            raise QgsProcessingException(words or tr("The program unclouded failed."))
        try:
            found = json.loads(answer.stdout.decode("utf-8"))
            card = found["card"]
            result = {
                "NAME": card["name"],
                "BANDS": ",".join(card["bands"]),
                "SHA256": found["sha256"],
                "SIZE_BYTES": found["bytes"],
            }
        except (ValueError, KeyError, TypeError):
            raise QgsProcessingException(
                tr("{} is not a model.").format(model)
                + "\n"
                + tr("Hint: choose a .safetensors file made by unclouded.")
            ) from None
        for line in _facts(card, found):
            feedback.pushInfo(": ".join(line))
        folder = tempfile.mkdtemp(prefix="model-", dir=QgsProcessingUtils.tempFolder())
        report = os.path.join(folder, "report.html")
        with open(report, "w", encoding="utf-8") as page:
            page.write(_page(card, found))
        return {"REPORT": report, **result}


def _facts(card, found):
    """Lines of (what, value)."""
    defaults = card.get("defaults", {})
    training = card.get("training", {})
    yield tr("Name"), str(card["name"])
    yield tr("Description"), str(card.get("description", ""))
    yield tr("Bands"), " ".join(card["bands"])
    yield (
        tr("Defaults"),
        tr("{sampler}, {steps} steps, {samples} samples, tiles of {tile_px} px").format(
            **{
                key: defaults.get(key, "?")
                for key in ("sampler", "steps", "samples", "tile_px")
            }
        ),
    )
    yield (
        tr("Training"),
        tr("{steps} steps on {tiles} tiles").format(
            steps=training.get("steps", "?"), tiles=training.get("samples_seen", "?")
        ),
    )
    for data in training.get("data", []):
        words = [str(data.get(key, "")) for key in ("name", "licence", "attribution")]
        yield tr("Data"), "; ".join(word for word in words if word)
    for name, value in card.get("metrics", {}).items():
        yield str(name), f"{value:.4g}" if isinstance(value, float) else str(value)
    yield tr("Size"), tr("{:.1f} MB").format(found["bytes"] / 1e6)
    yield "SHA-256", str(found["sha256"])


def _page(card, found):
    rows = "".join(
        f"<tr><th align='left'>{html.escape(what)}</th><td>{html.escape(value)}</td></tr>"
        for what, value in _facts(card, found)
    )
    title = html.escape(str(card["name"]))
    return (
        "<!DOCTYPE html><html><head><meta charset='utf-8'><title>"
        f"{title}</title></head><body><h1>{title}</h1><table>{rows}</table></body></html>"
    )
