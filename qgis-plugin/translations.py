#!/usr/bin/env python3
"""Makes or updates a translation of the QGIS plugin: every tr("...") into i18n/unclouded_XX.ts.

    python3 qgis-plugin/translations.py de     # then translate the .ts with Qt Linguist
    lrelease qgis-plugin/unclouded_qgis/i18n/unclouded_de.ts

The plugin loads the .qm of the user's language by itself; the packer takes it along.
"""

import ast
import sys
from pathlib import Path
from xml.etree import ElementTree

PLUGIN = Path(__file__).resolve().parent / "unclouded_qgis"
# As in compat.py: all texts are of one context.
CONTEXT = "unclouded"


def texts():
    """The English texts, each once, in the order of files and lines."""
    found = {}
    for path in sorted(PLUGIN.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr"
            if not called or path.name == "compat.py":
                continue
            (text,) = node.args
            if not isinstance(text, ast.Constant):
                sys.exit(
                    f"error: {path.name}:{node.lineno}: tr() of something computed"
                )
            found.setdefault(text.value, f"{path.name}:{node.lineno}")
    return found


def update(language):
    """Write the .ts file, keeping what is translated already; returns its path."""
    path = PLUGIN / "i18n" / f"unclouded_{language}.ts"
    known = {}
    if path.exists():
        for message in ElementTree.parse(path).iter("message"):
            done = message.find("translation")
            if done is not None and done.text:
                known[message.findtext("source")] = done.text
    root = ElementTree.Element("TS", version="2.1", language=language)
    context = ElementTree.SubElement(root, "context")
    ElementTree.SubElement(context, "name").text = CONTEXT
    for text in texts():
        message = ElementTree.SubElement(context, "message")
        ElementTree.SubElement(message, "source").text = text
        translation = ElementTree.SubElement(message, "translation")
        if text in known:
            translation.text = known[text]
        else:
            translation.set("type", "unfinished")
    path.parent.mkdir(exist_ok=True)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} LANGUAGE, e.g. de")
    print(update(sys.argv[1]))
