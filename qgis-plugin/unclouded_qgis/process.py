"""Runs the program as a child process: reads its JSON lines, shows progress, stops it when asked."""

# SPDX-License-Identifier: GPL-2.0-or-later

import collections
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

from qgis.core import QgsProcessingException

from .backend import no_window
from .compat import tr

# Seconds after the wish to stop: asked politely, asked again, killed. All within two.
POLITE_SECONDS = 0.8
FIRM_SECONDS = 1.3
POLL_SECONDS = 0.1
# Progress texts are log lines in QGIS: not more than one in this time.
TEXT_SECONDS = 2.0
# Share of the bar (from, to) of each stage of `restore`, and of `mask`.
RESTORE_STAGES = {
    "mask": (0, 2),
    "survey": (2, 3),
    "fill": (3, 97),
    "verify": (97, 100),
}
# Of `series`: the share of each date, of which a mask is found and a fill computed.
SERIES_STAGES = {"fill": (0, 97), "even dates": (97, 100)}
MASK_STAGES = {"mask": (0, 80), "write": (80, 100)}
# The parameters behind the program's options: messages call them as the dialog does.
PARAMETERS = {
    "--mask": "MASK",
    "--mask-values": "MASK_VALUES",
    "--mask-from": "MASK_FROM",
    "--from": "MASK_FROM",
    "--dilate-m": "GROW",
    "--dilate-px": "GROW",
    "--min-area-px": "MIN_AREA",
    "--extent": "EXTENT",
    "--reference": "REFERENCE",
    "--every": "EVERY",
    "--reference-mask-from": "REFERENCE_CLOUDS",
    "--reference-mask": "REFERENCE_MASK",
    "--model": "MODEL",
    "--quality": "QUALITY",
    "--seed": "SEED",
    "--write": "WRITE",
    "--sampler": "SAMPLER",
    "--method": "METHOD",
    "--samples": "SAMPLES",
    "--steps": "STEPS",
    "--tile-px": "TILE",
    "--overlap-px": "OVERLAP",
    "--device": "DEVICE",
    "--bands": "BANDS",
    "--offset": "OFFSET",
    "--uncertainty": "UNCERTAINTY",
}


def cancelled():
    """The exception for a run the user stopped.

    Not a class of its own: QGIS takes a subclass for a defect and logs a traceback.
    """
    return QgsProcessingException(
        tr("Cancelled: the program was stopped, nothing was written.")
    )


def run(backend, arguments, feedback, stages, words):
    """Run the program to its end.

    Args:
        backend: a `backend.Backend`.
        arguments: list of words; `--progress json` is added.
        feedback: QgsProcessingFeedback; its wish to stop is looked at ten times a second.
        stages: share of the bar by the name of a stage; others leave the bar alone.
        words: the program's options, alone or with a value, as the dialog calls them.

    Returns:
        The object of the program's `done` line.

    Raises:
        QgsProcessingException: the user stopped it and the child is gone, or it failed,
            with its message and hint.
    """
    command = [backend.path, *arguments, "--progress", "json"]
    feedback.pushCommandInfo(subprocess.list2cmdline(command))
    try:
        child = subprocess.Popen(
            command,
            # Never written to: it ends when QGIS does, even when that is killed, and the child
            # with it.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                **backend.environment,
                "UNCLOUDED_STOP_WITH_STDIN": "1",
            },
            **no_window(),
        )
    except OSError as error:
        raise QgsProcessingException(
            tr("Cannot start {path}: {reason}").format(path=backend.path, reason=error)
        ) from None
    try:
        return _follow(child, _View(feedback, stages, words))
    finally:
        # Whatever happened above, no child survives its run.
        if child.poll() is None:
            stop(child)
        child.stdin.close()
        child.stdout.close()
        child.stderr.close()


def stop(child, polite=sys.platform != "win32"):
    """End the child within two seconds.

    Where there are signals it is asked first, so that it can tidy up; Windows only knows killing.
    What it leaves behind then lies in the staging folders, which the caller removes.
    """
    started = time.monotonic()
    if polite:
        for deadline in (POLITE_SECONDS, FIRM_SECONDS):
            child.send_signal(signal.SIGINT)
            try:
                child.wait(max(0.0, started + deadline - time.monotonic()))
                return
            except subprocess.TimeoutExpired:
                pass
    child.kill()
    child.wait()


def _follow(child, view):
    feedback = view.feedback
    lines = queue.Queue()
    last_words = collections.deque(maxlen=20)
    readers = [
        threading.Thread(target=_read, args=(child.stdout, lines.put), daemon=True),
        threading.Thread(
            target=_read, args=(child.stderr, last_words.append), daemon=True
        ),
    ]
    for reader in readers:
        reader.start()
    while True:
        if feedback.isCanceled():
            stop(child)
            raise cancelled()
        try:
            line = lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if not readers[0].is_alive() and lines.empty():
                break
            continue
        view.take(line)
    # Standard output is closed, so the end is near; a child that hangs here is still cancelled.
    while child.poll() is None:
        if feedback.isCanceled():
            stop(child)
            raise cancelled()
        time.sleep(POLL_SECONDS / 5)
    readers[1].join(timeout=1)
    return view.outcome(child.returncode, last_words)


def _read(stream, keep):
    try:
        for line in stream:
            keep(line.decode("utf-8", "replace").rstrip("\r\n"))
    except ValueError:
        pass  # closed while reading: the run is over


class _View:
    """Turns the program's lines into what QGIS shows."""

    def __init__(self, feedback, stages, words):
        self.feedback = feedback
        self.stages = stages
        self.words = words
        self.result = None
        self.error = None
        self.last_text = (None, 0.0)
        # Number of the scene, and of how many.
        self.scene = (1, 1)

    def take(self, line):
        """One line of standard output. Unknown types and keys are ignored by contract."""
        try:
            message = json.loads(line)
        except ValueError:
            if line.strip():
                self.feedback.pushConsoleInfo(line)
            return
        if not isinstance(message, dict):
            return
        kind = message.get("type")
        if kind == "progress":
            self.progress(message)
        elif kind == "log":
            text = self.sentence(message, "message")
            warns = message.get("level") == "warning"
            (self.feedback.pushWarning if warns else self.feedback.pushInfo)(text)
        elif kind == "scene":
            self.enter(message)
        elif kind == "error":
            self.error = message
        elif kind == "done":
            self.result = message.get("result")
            if not isinstance(self.result, dict):
                self.result = {}

    def enter(self, message):
        """One of several scenes begins, or failed."""
        number, of = message.get("number"), message.get("of")
        if isinstance(number, int) and isinstance(of, int) and of > 0:
            self.scene = (number, of)
        if message.get("state") == "start":
            name = os.path.basename(str(message.get("scene", "")))
            self.feedback.setProgressText(f"{number}/{of} {name}")
        elif message.get("state") == "failed":
            self.feedback.reportError(self.sentence(message, "message"))

    def progress(self, message):
        """The bar, and now and then a line with the time that is left."""
        try:
            fraction = min(1.0, max(0.0, float(message.get("fraction"))))
        except (TypeError, ValueError):
            return
        stage = str(message.get("stage", ""))
        if stage in self.stages:
            low, high = self.stages[stage]
            number, of = self.scene
            share = (number - 1 + fraction) / of if of > 1 else fraction
            self.feedback.setProgress(low + (high - low) * share)
        eta, now = message.get("eta_seconds"), time.monotonic()
        shown, when = self.last_text
        if stage == shown and now - when < TEXT_SECONDS:
            return
        names = {
            "mask": tr("Reading the mask"),
            "survey": tr("Reading the scene"),
            "fill": tr("Filling"),
            "verify": tr("Comparing the clear pixels"),
            "write": tr("Writing"),
        }
        text = names.get(stage, stage)
        if stage == shown and isinstance(eta, (int, float)) and fraction < 1:
            text = tr("{stage}: {percent} %, about {left} left").format(
                stage=text, percent=round(100 * fraction), left=duration(eta)
            )
        elif stage == shown:
            return
        self.last_text = (stage, now)
        self.feedback.setProgressText(text)

    def sentence(self, message, key):
        """A sentence of the program with its options called as the dialog calls them."""
        parts = message.get(f"{key}_parts")
        if not isinstance(parts, list) or not parts:
            return str(message.get(key) or "")
        return "".join(self.part(part) for part in parts if isinstance(part, dict))

    def part(self, part):
        """A piece of a sentence: its text, or the dialog's words for an option."""
        option, value = part.get("option"), part.get("value")
        if option is None:
            return str(part.get("text", ""))
        named = f"{option} {value}" if value else option
        if named in self.words:
            return self.words[named]
        return self.words.get(option, option) + (f" {value}" if value else "")

    def outcome(self, code, last_words):
        """The result, or the exception that tells why there is none."""
        if code == 0 and self.result is not None and self.error is None:
            return self.result
        if self.error is not None:
            text = self.sentence(self.error, "message") or tr(
                "The program unclouded failed."
            )
            hint = self.sentence(self.error, "hint")
            if hint:
                text += "\n" + tr("Hint: {}").format(hint)
            raise QgsProcessingException(text)
        words = "\n".join(line for line in last_words if line.strip())
        if code is not None and code < 0:
            reason = tr("The program unclouded was ended by signal {}.").format(-code)
        elif code == 0:
            reason = tr("The program unclouded ended without a result.")
        else:
            reason = tr("The program unclouded failed with exit code {}.").format(code)
        raise QgsProcessingException(f"{reason}\n{words}".strip())


def duration(seconds):
    """A time to wait as people say it."""
    if seconds < 90:
        return tr("{} s").format(max(1, round(seconds)))
    if seconds < 5400:
        return tr("{} min").format(round(seconds / 60))
    return tr("{:.1f} h").format(seconds / 3600)
