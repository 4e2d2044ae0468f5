"""What the algorithms share: names, icon, choices by number or name, and asking the program."""

# SPDX-License-Identifier: GPL-2.0-or-later

from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from . import backend, process
from .compat import FLAG_ADVANCED, NUMBER_DOUBLE, tr

PLUGIN = Path(__file__).resolve().parent
ICON = PLUGIN / "icon.svg"
HELP = PLUGIN / "help" / "help.html"


def icon(name):
    """An icon of the plugin by the name of its file."""
    return QIcon(str(PLUGIN / "icons" / name if name else ICON))


def help_url(anchor=""):
    """Address of the help that lies in the plugin, readable offline."""
    url = QUrl.fromLocalFile(str(HELP))
    url.setFragment(anchor)
    return url


class UncloudedAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs a command of the program.

    A subclass sets NAME and COMMAND and overrides displayName, shortHelpString and
    initAlgorithm, where it adds parameters with `add` and `add_choice`.
    """

    NAME = ""
    COMMAND = "restore"
    # File in icons/; empty for the plugin's own icon.
    ICON = ""

    def __init__(self):
        super().__init__()
        # Words of a choice as the program calls them, and as the dialog does.
        self._choices = {}
        self._shown = {}

    def name(self):
        """The id without the provider; never translated, never changed."""
        return self.NAME

    def createInstance(self):
        """A fresh one for each run."""
        return type(self)()

    def icon(self):
        """Its icon in the toolbox and the menu."""
        return icon(self.ICON)

    def helpUrl(self):
        """What the dialog's Help button opens."""
        return help_url(self.NAME).toString()

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
        shown = self._shown[name] = [text for _, text in options]
        self.add(
            QgsProcessingParameterEnum(name, label, shown, defaultValue=default),
            help_text,
            advanced,
        )

    def add_growth(self, unset, advanced=True):
        """GROW.

        Args:
            unset: what happens when it is left empty.
        """
        self.add(
            QgsProcessingParameterNumber(
                "GROW",
                tr("Grow the clouds by (metres)"),
                NUMBER_DOUBLE,
                None,
                True,
                0,
                10_000,
            ),
            tr(
                "Cloud edges and thin haze reach farther than most masks say, and what is left "
                "of them is continued into the fill. Growing costs clear pixels."
            )
            + " "
            + unset,
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

    def words_of(self, name):
        """The words of a choice, in the order of its labels."""
        return self._choices[name]

    def label(self, name):
        """What the dialog calls a parameter."""
        return self.parameterDefinition(name).description()

    def dialog_words(self):
        """The program's options, alone and with a word of a choice, as the dialog calls them.

        Returns:
            A dict: {"--mask-from auto": "«Clouds: detect …»", ...}.
        """
        words = {}
        for option, name in process.PARAMETERS.items():
            if self.parameterDefinition(name) is None:
                continue
            label = self.label(name)
            for word, shown in zip(
                self._choices.get(name, ()), self._shown.get(name, ())
            ):
                words[f"{option} {word}"] = f"«{label}: {shown}»"
            words[option] = f"«{label}»"
        return words

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
