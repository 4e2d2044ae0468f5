"""Outputs in the making: written in a hidden folder beside their targets, moved when complete."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os
import shutil
import tempfile

from qgis.core import QgsProcessingException, QgsProcessingUtils

from .compat import tr

# What GDAL and QGIS put beside a raster; a leftover of an older file would lend its statistics
# to the new one.
SIDECARS = (".aux.xml", ".ovr", ".msk")


class Staging:
    """A context in which a run writes its files; those not committed vanish with it.

    The folder is on the file system of the target, so that the last step is a rename. It is
    removed as a whole, so that a program killed without a chance to tidy up (Windows) leaves
    nothing.
    """

    def __init__(self):
        self._folders = {}
        self._moves = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for folder in self._folders.values():
            shutil.rmtree(folder, ignore_errors=True)

    def path(self, target):
        """Where to write what shall become `target`.

        Raises:
            QgsProcessingException: its folder does not exist or may not be written to.
        """
        target = os.path.abspath(target)
        beside, name = os.path.split(target)
        if beside not in self._folders:
            try:
                self._folders[beside] = tempfile.mkdtemp(
                    prefix=".unclouded-", dir=beside
                )
            except OSError as error:
                raise QgsProcessingException(
                    tr("Cannot write into the folder {folder}: {reason}").format(
                        folder=beside, reason=error.strerror
                    )
                    + "\n"
                    + tr("Hint: choose another folder, or make this one first.")
                ) from None
        staged = os.path.join(self._folders[beside], name)
        self._moves.append((staged, target))
        return staged

    @staticmethod
    def folder():
        """A context that gives a folder for inputs, in QGIS's own temporary one."""
        return tempfile.TemporaryDirectory(
            prefix="unclouded-", dir=QgsProcessingUtils.tempFolder()
        )

    def commit(self):
        """Give every file its name, the first one last: where it is, the others are.

        Raises:
            QgsProcessingException: a file is missing, or its target cannot be replaced.
        """
        for staged, _ in self._moves:
            if not os.path.isfile(staged):
                raise QgsProcessingException(
                    tr(
                        "The program unclouded reported success but did not write {}."
                    ).format(os.path.basename(staged))
                )
        for staged, target in reversed(self._moves):
            try:
                for ending in SIDECARS:
                    if os.path.exists(staged + ending):
                        os.replace(staged + ending, target + ending)
                    elif os.path.exists(target + ending):
                        os.remove(target + ending)
                os.replace(staged, target)
            except OSError as error:
                raise QgsProcessingException(
                    tr("Cannot write {target}: {reason}").format(
                        target=target, reason=error.strerror
                    )
                    + "\n"
                    + tr("Hint: is it open in a layer or another program?")
                ) from None
