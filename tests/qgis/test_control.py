"""Cancelling, failing and missing programs: no child, no file and no false success remain."""

import os
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import harness
from harness import MASK, QUICK, SCENE, Folder, children, crop, fake_program

APPLICATION, PLUGIN = harness.start_qgis()

import processing
from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
)
from unclouded_qgis import backend, process, settings

WINDOW = (60, 70, 96, 96)
WITHIN_SECONDS = 2.0


class Recorder(QgsProcessingFeedback):
    """Keeps what it is told; cancels itself at a share of the progress."""

    def __init__(self, cancel_at=None):
        super().__init__(False)
        self.cancel_at, self.cancelled_at = cancel_at, None
        self.lines, self.warnings, self.shares = [], [], []
        self.progressChanged.connect(self.follow)

    def follow(self, share):
        self.shares.append(share)
        if self.cancel_at is not None and share >= self.cancel_at:
            self.stop()

    def stop(self):
        if self.cancelled_at is None:
            self.cancelled_at = time.monotonic()
            self.cancel()

    def setProgressText(self, text):
        self.lines.append(text)

    def pushInfo(self, text):
        self.lines.append(text)

    def pushWarning(self, text):
        self.warnings.append(text)


class Control(unittest.TestCase):
    def setUp(self):
        opened = Folder()
        self.folder = opened.__enter__()
        self.addCleanup(opened.__exit__)
        self.addCleanup(settings.save, "", "auto", 0)
        self.out = self.folder / "out"
        self.out.mkdir()

    def parameters(self, **more):
        return {
            "INPUT": str(SCENE),
            "MASK": str(MASK),
            "MASK_VALUES": "1,2",
            "OUTPUT": str(self.out / "scene.tif"),
            "UNCERTAINTY": str(self.out / "std.tif"),
            "PROVENANCE": str(self.out / "kind.tif"),
            **more,
        }

    def nothing_left(self):
        """No child, no output, no temporary file."""
        self.assertEqual(children(), [])
        self.assertEqual(list(self.out.iterdir()), [])
        temporary = os.listdir(QgsProcessingUtils.tempFolder())
        self.assertEqual([name for name in temporary if "unclouded" in name], [])

    def use(self, behaviour):
        settings.save(fake_program(self.folder, behaviour), "auto", 0)

    def fails(self, pattern, **more):
        with self.assertRaisesRegex(QgsProcessingException, pattern):
            processing.run("unclouded:removeclouds", self.parameters(**more))
        self.nothing_left()

    def test_progress_eta_and_log(self):
        feedback = Recorder()
        processing.run(
            "unclouded:removeclouds", self.parameters(SAMPLES=24), feedback=feedback
        )
        self.assertEqual(feedback.shares, sorted(feedback.shares))
        self.assertEqual(feedback.shares[-1], 100)
        self.assertGreater(len(set(feedback.shares)), 5)
        self.assertTrue(any("left" in line for line in feedback.lines), feedback.lines)
        self.assertTrue(any(line.startswith("model: ") for line in feedback.lines))
        self.assertTrue(any("estimates" in line for line in feedback.lines))
        # Nothing is wrong: no yellow line.
        self.assertEqual(feedback.warnings, [])

    def test_cancel_in_the_middle(self):
        feedback = Recorder(cancel_at=6)
        with self.assertRaisesRegex(QgsProcessingException, "Cancelled"):
            processing.run(
                "unclouded:removeclouds", self.parameters(SAMPLES=24), feedback=feedback
            )
        took = time.monotonic() - feedback.cancelled_at
        self.assertLess(took, WITHIN_SECONDS)
        self.assertLess(max(feedback.shares), 90)
        self.nothing_left()

    def test_cancel_inside_a_long_tile(self):
        """One tile over the whole scene: the program gets to no good moment in time."""
        feedback = Recorder()
        timer = threading.Timer(3.0, feedback.stop)
        timer.start()
        self.addCleanup(timer.cancel)
        with self.assertRaisesRegex(QgsProcessingException, "Cancelled"):
            processing.run(
                "unclouded:removeclouds",
                self.parameters(SAMPLES=64, TILE=256, STEPS=50),
                feedback=feedback,
            )
        self.assertLess(time.monotonic() - feedback.cancelled_at, WITHIN_SECONDS)
        self.nothing_left()

    def test_cancel_where_there_are_no_signals(self):
        """As on Windows: the child is killed and cannot tidy up."""
        original = process.stop
        self.addCleanup(setattr, process, "stop", original)
        process.stop = lambda child: original(child, polite=False)
        feedback = Recorder(cancel_at=6)
        with self.assertRaisesRegex(QgsProcessingException, "Cancelled"):
            processing.run(
                "unclouded:removeclouds", self.parameters(SAMPLES=24), feedback=feedback
            )
        self.assertLess(time.monotonic() - feedback.cancelled_at, WITHIN_SECONDS)
        self.nothing_left()

    def test_cancel_of_a_program_that_does_not_listen(self):
        self.use(
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "open(sys.argv[sys.argv.index('--output') + 1] + '.part', 'w').close()\n"
            "say(type='progress', stage='fill', fraction=0.5)\n"
            "time.sleep(60)\n"
        )
        feedback = Recorder(cancel_at=40)
        with self.assertRaisesRegex(QgsProcessingException, "Cancelled"):
            processing.run(
                "unclouded:removeclouds", self.parameters(), feedback=feedback
            )
        self.assertLess(time.monotonic() - feedback.cancelled_at, WITHIN_SECONDS)
        self.nothing_left()

    def test_cancel_as_a_task_in_the_background(self):
        """As the dialog runs it: another thread, cancelled from the main one."""
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(
            "unclouded:removeclouds"
        )
        context, feedback = QgsProcessingContext(), QgsProcessingFeedback(False)
        task = QgsProcessingAlgRunnerTask(
            algorithm, self.parameters(SAMPLES=24), context, feedback
        )
        outcome = []
        task.executed.connect(lambda ok, _results: outcome.append(ok))
        QgsApplication.taskManager().addTask(task)
        began = time.monotonic()
        while not children() and time.monotonic() < began + 20:
            QgsApplication.processEvents()
        self.assertTrue(children())
        time.sleep(0.5)
        task.cancel()
        stopped = time.monotonic()
        while not outcome and time.monotonic() < stopped + 20:
            QgsApplication.processEvents()
            time.sleep(0.01)
        self.assertEqual(outcome, [False])
        self.assertLess(time.monotonic() - stopped, WITHIN_SECONDS)
        self.nothing_left()

    def test_message_and_hint_of_the_program(self):
        self.fails(
            r"never occur.*\nHint: .*«Values of the mask that mean fill»",
            MASK_VALUES="9",
        )

    def test_old_outputs_survive_a_failure(self):
        old = self.out / "scene.tif"
        old.write_text("old")
        with self.assertRaises(QgsProcessingException):
            processing.run("unclouded:removeclouds", self.parameters(MASK_VALUES="9"))
        self.assertEqual(old.read_text(), "old")
        old.unlink()

    def test_programs_that_misbehave(self):
        done = "say(type='done', exit=0, result={%s})\n"
        result = (
            "'pixels': {'fill': 1, 'data': 2}, 'clear_pixels': 1,"
            " 'clear_pixels_changed': 0"
        )
        for behaviour, pattern in (
            ("os.kill(os.getpid(), signal.SIGSEGV)\n", "signal 11"),
            ("sys.exit(0)\n", "without a result"),
            ("print('rubbish')\nprint('{', flush=True)\n", "without a result"),
            ("sys.exit('out of luck')\n", "exit code 1.\nout of luck"),
            (done % "", "does not understand"),
            (done % result, "did not write"),
            (done % result + "sys.exit(3)\n", "exit code 3"),
            (done % result.replace("changed': 0", "changed': 5"), "5 clear pixels"),
            ("say(type='error', exit=2, message='no', hint='do')\n", "no\nHint: do"),
            (
                "say(type='progress', fraction='x')\nsay(type='new')\nsay(a=1)\n",
                "without",
            ),
        ):
            with self.subTest(behaviour):
                self.use(behaviour)
                self.fails(pattern)

    def test_floods_of_output_do_not_block(self):
        self.use(
            "for line in range(20000):\n"
            "    print('x' * 50, file=sys.stderr)\n"
            "say(type='error', exit=1, message='after the flood', hint=None)\nsys.exit(1)\n"
        )
        self.fails("after the flood")

    def test_missing_and_wrong_programs(self):
        algorithm = QgsApplication.processingRegistry().algorithmById(
            "unclouded:removeclouds"
        )
        self.assertTrue(algorithm.canExecute()[0])
        folder = self.folder / "unclouded"
        folder.mkdir()
        text = self.folder / "text"
        text.write_text("no program")
        old = self.folder / "old"
        old.write_text("#!/bin/sh\necho unclouded 0.0.9\n")
        hangs = self.folder / "fails"
        hangs.write_text("#!/bin/sh\necho error: no such library >&2; exit 127\n")
        mute = self.folder / "mute"
        mute.write_text(
            "#!/bin/sh\n"
            '[ "$1" = --version ] && echo unclouded 0.1.0 && exit\n'
            "echo no help today; exit 1\n"
        )
        for path, pattern in (
            ("/nowhere/unclouded", "No such file"),
            (str(folder), "not a program"),
            (str(text), "does not answer"),
            (str(old), "0.0.9; this plugin needs 0.1.0"),
            (str(hangs), "no such library"),
            ("/bin/true", "does not answer"),
            (str(mute), "no help today"),
        ):
            with self.subTest(path):
                settings.save(path, "auto", 0)
                fine, reason = algorithm.canExecute()
                self.assertFalse(fine)
                self.assertRegex(reason, pattern)
                self.fails(pattern)

    def test_program_linked_to_another_gdal(self):
        """The wanted GDAL is not installed; the one QGIS runs takes its place."""
        content = Path(harness.PROGRAM).read_bytes()
        start = content.find(b"libgdal.so.") + len(b"libgdal.so.")
        self.assertGreater(start, 20, "the program is not linked to GDAL")
        end = content.index(b"\0", start)
        foreign = self.folder / "unclouded-foreign"
        foreign.write_bytes(content[:start] + b"9" * (end - start) + content[end:])
        foreign.chmod(0o755)
        run = harness.subprocess.run([foreign], check=False, capture_output=True)
        self.assertEqual(run.returncode, 127, "it should not start by itself")
        settings.save(str(foreign), "auto", 0)
        self.assertIn("LD_LIBRARY_PATH", backend.find().environment)
        found = processing.run(
            "unclouded:removeclouds", self.parameters(**QUICK, UNCERTAINTY=None)
        )
        own = self.folder / "own.tif"
        words = ["restore", SCENE, "--mask", MASK, "--mask-values", "1,2", "-o", own]
        harness.program(*words, "--samples", 1, "--steps", 1, "--seed", 3)
        self.assertEqual(own.read_bytes(), Path(found["OUTPUT"]).read_bytes())

    def test_folder_that_cannot_be_written(self):
        scene = crop(SCENE, self.folder / "s.tif", WINDOW)
        mask = crop(MASK, self.folder / "m.tif", WINDOW)
        with self.assertRaisesRegex(
            QgsProcessingException, "Cannot write into the folder"
        ):
            processing.run(
                "unclouded:removeclouds",
                {
                    "INPUT": str(scene),
                    "MASK": str(mask),
                    "OUTPUT": "/proc/scene.tif",
                    **QUICK,
                },
            )
        self.assertEqual(children(), [])

    def test_killed_qgis_leaves_no_child(self):
        """QGIS dies without a chance to stop anything: the child sees it, and stops by itself."""
        script = (
            "import harness\n"
            "kept = harness.start_qgis()\n"
            "import processing\n"
            f"processing.run('unclouded:removeclouds', {self.parameters(SAMPLES=60, STEPS=40)!r})\n"
        )
        qgis = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(qgis.wait)
        self.addCleanup(qgis.kill)

        def until(done, seconds):
            began = time.monotonic()
            while not done():
                self.assertLess(time.monotonic() - began, seconds)
                time.sleep(0.05)

        started = []

        def works():
            self.assertIsNone(qgis.poll(), "QGIS ended before its child worked")
            for pid, _ in children(qgis.pid):
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                # Not one that only tells its version or its options.
                if b"restore" in words and b"json" in words:
                    started.append(pid)
            return started

        until(works, 90)
        time.sleep(1)
        child = Path(f"/proc/{started[0]}/stat")
        self.assertTrue(child.exists(), "the child ended by itself")
        qgis.kill()
        qgis.wait()

        def gone():
            try:
                return ") Z " in child.read_text()
            except OSError:
                return True

        until(gone, 20)
        # The folder for unfinished outputs stays: who would have removed it is dead.
        files = [path for path in self.out.rglob("*") if path.is_file()]
        self.assertEqual(files, [])

    def test_interrupt_of_the_whole_group(self):
        """Ctrl-C in the terminal of qgis_process reaches the child as well: no false success."""
        self.use(
            "say(type='error', exit=130, message='interrupted', hint=None)\n"
            "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n"
        )
        self.fails("interrupted")


if __name__ == "__main__":
    unittest.main()
