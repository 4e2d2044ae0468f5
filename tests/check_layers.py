#!/usr/bin/env python3
"""Checks the rooms of the core: no circle of imports, and who may know whom.

    python3 tests/check_layers.py

Reads the `use` lines and the paths of core/src (what only tests import does not count). Exit 1 with the
first circle, or each import that a rule of ARCHITECTURE.md forbids.
"""

import re
import sys
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent / "core" / "src"

# A room and the rooms it must not import from.
FORBIDDEN = {
    "error": {
        "diffusion",
        "generate",
        "kernels",
        "model",
        "network",
        "raster",
        "restore",
    },
    "kernels": {"diffusion", "generate", "model", "network", "raster", "restore"},
    "raster": {"diffusion", "generate", "model", "network", "restore"},
    "network": {"diffusion", "generate", "model", "raster", "restore"},
    "diffusion": {
        "generate",
        "model",
        "restore",
        "network::unet",
        "network::diffusers",
    },
    "model": {"generate", "restore"},
}
# The core names no option and no command: each face has its own words.
FACE_WORDS = re.compile(
    r'"[^"\n]*(?:(?<![\w-])--[a-z]|`unclouded |unclouded [a-z]+ [A-Z])'
)


def module_of(path):
    """`restore::view` for core/src/restore/view.rs."""
    parts = list(path.relative_to(CORE).with_suffix("").parts)
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return "::".join(parts)


def code_of(text):
    """A file without what is for tests alone."""
    return re.split(r"#\[cfg\((?:all\()?test\b[^\n]*\]\s*\n\s*mod \w+ \{", text)[0]


def expand(tree):
    """The paths of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`."""
    start = tree.find("{")
    if start < 0:
        return [re.sub(r"\s+as \w+$", "", tree.strip())]
    inside, depth, parts, last = tree[start + 1 : tree.rindex("}")], 0, [], 0
    for at, letter in enumerate(inside):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append(inside[last:at])
            last = at + 1
    parts.append(inside[last:])
    return [
        tree[:start].strip() + path
        for part in parts
        if part.strip()
        for path in expand(part.strip())
    ]


def absolute(path, module):
    """A path of a use line as seen from the crate's root; none for another crate's."""
    words, here = path.split("::"), module.split("::") if module else []
    if words[0] == "crate":
        return words[1:]
    if words[0] not in ("self", "super"):
        return None
    while words and words[0] in ("self", "super"):
        if words[0] == "super":
            here = here[:-1]
        words = words[1:]
    return here + words


def imports(modules):
    """The modules each module imports from."""
    found = {}
    for module, path in modules.items():
        text = re.sub(r"//[^\n]*", "", code_of(path.read_text("utf-8")))
        found[module] = set()
        trees = re.findall(r"\buse ((?:crate|super|self)[^;]*);", text)
        # Paths that are written out where they are used import as well.
        trees += re.findall(r"\b(?:crate|super)(?:::\w+)+", text)
        for tree in trees:
            for used in expand(re.sub(r"\s+", " ", tree)):
                words = absolute(used, module)
                # The longest part of the path that is a module; the rest is an item of it.
                while words and "::".join(words) not in modules:
                    words = words[:-1]
                target = "::".join(words or [])
                if target and target != module:
                    found[module].add(target)
    return found


def circle(graph):
    """Modules that import each other in a ring; none where there is none.

    What a module and its own children share is one room: their imports do not count.
    """
    related = lambda a, b: a.startswith(f"{b}::") or b.startswith(f"{a}::")
    state, trail = {}, []

    def visit(module):
        state[module] = 1
        trail.append(module)
        for target in sorted(graph[module]):
            if related(module, target):
                continue
            if state.get(target) == 1:
                return trail[trail.index(target) :] + [target]
            if target not in state:
                ring = visit(target)
                if ring:
                    return ring
        state[module] = 2
        trail.pop()
        return None

    for module in sorted(graph):
        if module not in state:
            ring = visit(module)
            if ring:
                return ring
    return None


def main():
    tests = {"tests"}
    modules = {
        module_of(path): path
        for path in sorted(CORE.rglob("*.rs"))
        if not tests & set(path.relative_to(CORE).with_suffix("").parts)
        and not path.stem.endswith("_tests")
    }
    graph, problems = imports(modules), []
    for module, targets in graph.items():
        for target in targets:
            for room in FORBIDDEN.get(module.split("::")[0], ()):
                if target == room or target.startswith(f"{room}::"):
                    problems.append(f"{module} imports {target}: not allowed")
    for module, path in modules.items():
        for line in code_of(path.read_text("utf-8")).splitlines():
            words = FACE_WORDS.search(re.sub(r"//.*", "", line))
            if words:
                problems.append(f"{module} speaks as a face does: {line.strip()}")
    ring = circle(graph)
    if ring:
        problems.append("a circle of imports: " + " -> ".join(ring))
    print(
        "\n".join(problems)
        or f"{len(modules)} modules: no circle, every layer in its place"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
