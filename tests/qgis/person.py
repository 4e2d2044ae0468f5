"""A person before QGIS: a screen of its own, a mouse, a keyboard, and eyes.

Mouse and keyboard are those of the X server (xdotool); gui_eye.py, inside QGIS, says where
things are and what is seen.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from harness import PROFILE, outside

HERE = Path(__file__).resolve().parent
SIZE = (1600, 1000)
# What takes a second on an idle machine; tests may share theirs.
PATIENCE_SECONDS = 90


class Person:
    """Starts QGIS on a virtual screen; a context that ends both.

    Args:
        out: folder for pictures and for what is said.
        files: what QGIS shall open, as after a double click.
        profile: folder of profiles; the test's own by default.
    """

    def __init__(self, out, files=(), profile=None):
        self.out = Path(out)
        self.files = [str(file) for file in files]
        self.profile = profile or PROFILE.parent.parent
        self.asked = 0
        self.steps = []

    def __enter__(self):
        ready, told = os.pipe()
        screen = f"{SIZE[0]}x{SIZE[1]}x24"
        self.screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(told), "-screen", "0", screen]
            + ["-nolisten", "tcp"],
            pass_fds=[told],
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        with os.fdopen(ready) as answer:
            number = answer.readline().strip()
        assert number, "Xvfb did not start"
        self.environment = {
            **outside(),
            "DISPLAY": f":{number}",
            "QT_QPA_PLATFORM": "xcb",
            "UNCLOUDED_GUI_OUT": str(self.out),
        }
        words = ["qgis.bin", "--nologo", "--noversioncheck"]
        words += ["--profiles-path", str(self.profile), "--profile", "default"]
        words += [*self.files, "--code", str(HERE / "gui_eye.py")]
        self.said = open(self.out / "qgis.log", "w+")
        self.qgis = subprocess.Popen(
            words, stdout=self.said, stderr=self.said, env=self.environment
        )
        try:
            self.until(lambda: self.ask("ready"), "QGIS to start")
            self.ask("windows_resize", *SIZE)
            time.sleep(1)
        except BaseException:
            self.__exit__(None)
            raise
        return self

    def __exit__(self, problem, *_):
        if problem is not None and self.qgis.poll() is None:
            try:
                self.look("failure.png")
            except (AssertionError, TimeoutError):
                pass
        if self.qgis.poll() is None:
            try:
                self.ask("quit_qgis")
                self.qgis.wait(30)
            except (AssertionError, TimeoutError, subprocess.TimeoutExpired):
                self.qgis.kill()
        self.code = self.qgis.wait()
        self.said.seek(0)
        self.log = self.said.read()
        self.said.close()
        self.screen.terminate()
        self.screen.wait()

    def ask(self, name, *words):
        """What gui_eye.py answers.

        Raises:
            LookupError: what was asked for is not on the screen.
        """
        self.asked += 1
        answer = self.out / "answer.json"
        answer.unlink(missing_ok=True)
        part = self.out / "ask.part"
        part.write_text(json.dumps([self.asked, name, words]), encoding="utf-8")
        part.replace(self.out / "ask.json")
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            assert self.qgis.poll() is None, "QGIS ended"
            try:
                said = json.loads(answer.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                time.sleep(0.01)
                continue
            assert "error" not in said, said.get("error")
            if "missing" in said:
                raise LookupError(said["missing"])
            return said["answer"]
        raise TimeoutError(f"no answer to {name}")

    def until(self, condition, what, seconds=PATIENCE_SECONDS):
        """Wait until something holds; returns what it is."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = condition()
                if found:
                    return found
                problem = "not yet"
            except LookupError as error:
                problem = error
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s for {what}: {problem}")
            time.sleep(0.1)

    def step(self, text):
        """Note what a person would call one step."""
        self.steps.append(text)

    def mouse(self, *words):
        """xdotool."""
        subprocess.run(["xdotool", *map(str, words)], check=True, env=self.environment)

    def click_at(self, point, button=1):
        """Move there and press."""
        self.mouse("mousemove", *point)
        time.sleep(0.12)
        self.mouse("click", button)
        time.sleep(0.12)

    def click(self, name, *words):
        """Press what gui_eye.py finds, as soon as it is there."""
        self.click_at(self.until(lambda: self.ask(name, *words), f"{name} {words}"))

    def menu(self, first, *others):
        """Open a menu of the menu bar and go down to an entry."""
        self.click("menu_bar", first)
        for entry in others:
            self.click("menu_entry", entry)

    def choose(self, title, label, text):
        """Choose an entry of a drop-down list."""
        self.click("field", title, label)
        self.click("choice", text)

    def type(self, text):
        """Type into what has the focus."""
        self.mouse("type", "--delay", "5", text)

    def key(self, name):
        """Press a key."""
        self.mouse("key", name)

    def drawn(self):
        """Wait until the map is drawn."""
        time.sleep(0.7)
        self.until(lambda: not self.ask("drawing"), "the map")
        time.sleep(0.3)

    def look(self, name):
        """A picture of the screen, in the folder of pictures."""
        self.drawn()
        assert self.ask("screenshot", name)
        return self.out / name
