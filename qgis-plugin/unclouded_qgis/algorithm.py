"""What the algorithms share: names, icon, choices by number or name, and asking the program."""

# SPDX-License-Identifier: GPL-2.0-or-later

from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterEnum,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtGui import QIcon

from . import backend
from .compat import FLAG_ADVANCED, tr

ICON = Path(__file__).resolve().parent / "icon.svg"


class UncloudedAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs a command of the program.

    A subclass sets NAME and COMMAND and overrides displayName, shortHelpString and
    initAlgorithm, where it adds parameters with `add` and `add_choice`.
    """

    NAME = ""
    COMMAND = "restore"

    def __init__(self):
        super().__init__()
        self._choices = {}

    def name(self):
        """The id without the provider; never translated, never changed."""
        return self.NAME

    def createInstance(self):
        """A fresh one for each run."""
        return type(self)()

    def icon(self):
        """The plugin's icon."""
        return QIcon(str(ICON))

    def tags(self):
        """Words that find the algorithm in the toolbox."""
        words = tr(
            "cloud,clouds,shadow,inpaint,fill,gap,mask,satellite,sentinel,landsat"
        )
        return words.split(",")

    def canExecute(self):
        """Whether the program is there and has the command, else why not."""
        try:
            self.backend()
        except backend.BackendError as error:
            return False, str(error)
        return True, ""

    def backend(self):
        """The program.

        Raises:
            backend.BackendError: it is missing or lacks the command.
        """
        found = backend.find()
        found.require(self.displayName(), self.COMMAND)
        return found

    def backend_or_raise(self):
        """The program, or QGIS's exception."""
        try:
            return self.backend()
        except backend.BackendError as error:
            raise QgsProcessingException(str(error)) from None

    def add(self, definition, help_text, advanced=False):
        """Add a parameter with its help."""
        definition.setHelp(help_text)
        if advanced:
            definition.setFlags(definition.flags() | FLAG_ADVANCED)
        self.addParameter(definition)

    def add_choice(self, name, label, options, help_text, default=0, advanced=False):
        """Add a choice.

        Args:
            options: list of (word, label). The word goes to the program, and may be given
                instead of the number.
        """
        self._choices[name] = [word for word, _ in options]
        shown = [text for _, text in options]
        self.add(
            QgsProcessingParameterEnum(name, label, shown, defaultValue=default),
            help_text,
            advanced,
        )

    def add_offset(self):
        """OFFSET, for Sentinel-2."""
        self.add(
            QgsProcessingParameterString(
                "OFFSET", tr("Offset of Sentinel-2 values"), "auto", optional=True
            ),
            tr(
                "What to add to the pixel values before they are taken for reflectance: auto "
                "finds it in the metadata, which have to say it since processing baseline "
                "04.00; or a number such as -1000."
            ),
            advanced=True,
        )

    def choice(self, parameters, name, context):
        """The word of a choice."""
        plain = self.by_number(parameters)
        return self._choices[name][self.parameterAsEnum(plain, name, context)]

    def by_number(self, parameters):
        """The parameters with choices that were given as words turned into numbers."""
        plain = dict(parameters)
        for name, words in self._choices.items():
            if isinstance(plain.get(name), str) and plain[name] in words:
                plain[name] = words.index(plain[name])
        return plain

    def is_set(self, parameters, name):
        """Whether the user gave a value."""
        value = parameters.get(name)
        return value is not None and not (isinstance(value, str) and not value.strip())

    def checkParameterValues(self, parameters, context):
        """QGIS's own checks, then `problem`."""
        plain = self.by_number(parameters)
        fine, reason = super().checkParameterValues(plain, context)
        if not fine:
            return False, reason
        try:
            reason = self.problem(plain, context)
        except (backend.BackendError, QgsProcessingException) as error:
            reason = str(error)
        return not reason, reason or ""

    def problem(self, _parameters, _context):
        """What is wrong with these values together; empty if nothing is."""
        return ""
