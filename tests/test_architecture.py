"""The architecture: imports go down only, heavy libraries have one door each, and importing is cheap."""

import ast
import graphlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from fresh_interpreter import HEAVY, loaded_after

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = {
    "common": set(),
    "a2d": {"common"},
    "video": {"common"},
    "inference": {"common"},
    "networks": {"common"},
    "thresholds": {"common", "a2d"},
    "actor_detector": {"common", "a2d", "video", "inference"},
    "action_heads": {"common", "a2d", "video", "inference", "networks"},
    "rivals": {"common", "a2d", "video", "inference", "networks"},
    "pipeline": {
        *("common", "a2d", "video", "inference", "networks", "thresholds", "actor_detector", "action_heads", "rivals"),
    },
}
"""The product's packages, and the other packages that each may import."""
STUDIES = ("benchmarks", "docs", "experiments")
SCRIPTS = ("run_pipeline", "tune_thresholds", "retrain_head", "score_split")
COMMAND_LINE = ("pipeline.commands", "pipeline.__main__")
ONE_DOOR = {
    "fsspec": "common.remote_files",
    "aiohttp": "common.remote_files",
    "ultralytics": "actor_detector.yolo",
    "pyswarms": "thresholds.swarm",
    "sklearn": ("action_heads.training.linear_probe", "rivals.fusion_fitting"),
    "timm": "networks.timm_networks",
    "openvino": "inference.openvino_engine",
    "nncf": "inference.openvino_engine",
    "scipy": "action_heads.training.temperature",
    "jinja2": "pipeline.pages.page",
    "matplotlib": "pipeline.plots.figures",
    "pyarrow": ("pipeline.exports.parquet", "pipeline.supervision.ray_crew"),
    "ray": "pipeline.supervision.ray_crew",
    "rich": "pipeline.commands.terminal",
}
"""The only module that imports each library; of some two, in rooms that never import each other."""
HEAVY_MODULES = {
    "action_heads.backbone",
    "action_heads.backbones",
    "action_heads.model",
    "actor_detector.dense_stem",
    "inference.image_tensors",
    "inference.openvino_engine",
    "inference.cuda_engine",
    "inference.torch_engine",
    "networks.efficientnet_lite",
    "networks.tensors",
    "networks.timm_networks",
    *(f"rivals.{name}" for name in ("augmentation", "backbones", "batches", "losses", "stages", "weights")),
    *(f"rivals.{name}" for name in ("checkpoints", "fusion", "inflation", "label_parts", "optimizers")),
}
"""Modules outside training and distillation that load a heavy library when they are imported: they are loaded late."""
HEAVY_PACKAGES = ("rivals.systems.",)
"""The same of all modules in them, so that a new one need not be listed."""
MAX_LINES, MAX_PARAMETERS = 350, 6


@dataclass(frozen=True)
class Module:
    """A Python file of the project.

    Attributes:
        name: Its dotted name; a package's own name for its `__init__.py`.
        path: The file.
    """

    name: str
    path: Path

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    def lines(self) -> int:
        return len(self.path.read_text(encoding="utf-8").splitlines())


def is_training(name: str) -> bool:
    """Whether a module trains something, by its name."""
    return bool({"training", "distillation"} & set(name.split(".")))


def find_modules(*folders: str) -> dict[str, Module]:
    """Return the modules below some folders of the project by name."""
    modules = {}
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
            modules[name] = Module(name, path)
    return modules


PRODUCT = find_modules(*ROOMS)
OURS = {**PRODUCT, **find_modules(*STUDIES), **{name: Module(name, PROJECT / f"{name}.py") for name in SCRIPTS}}
PARAMETRIZE_PRODUCT = pytest.mark.parametrize("module", PRODUCT.values(), ids=PRODUCT)
PARAMETRIZE_OURS = pytest.mark.parametrize("module", OURS.values(), ids=OURS)


def is_type_checking(node: ast.AST) -> bool:
    """Whether a node is `if TYPE_CHECKING:`, whose body is never executed."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def import_statements(
    node: ast.AST, *, in_functions: bool, type_checking: bool
) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements below a node.

    Args:
        node: For example a module.
        in_functions: Include those that are executed when a function is called.
        type_checking: Include those that only type checkers see.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not in_functions:
            continue
        elif is_type_checking(child) and not type_checking:
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from import_statements(other, in_functions=in_functions, type_checking=type_checking)
        else:
            yield from import_statements(child, in_functions=in_functions, type_checking=type_checking)


@cache
def imports_of(module: Module, in_functions: bool = True, type_checking: bool = True) -> frozenset[str]:
    """Return the names of all modules that a module imports; of another project's, whatever the statement names."""
    names = set()
    for statement in import_statements(module.tree(), in_functions=in_functions, type_checking=type_checking):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f"{module.path}: relative import"
        assert statement.module
        for alias in statement.names:
            submodule = f"{statement.module}.{alias.name}"
            names.add(submodule if submodule in OURS else statement.module)
    return frozenset(names)


def libraries_of(module: Module) -> set[str]:
    """Return the top-level names of everything that a module imports anywhere."""
    return {name.partition(".")[0] for name in imports_of(module)}


def reachable(start: Collection[str], graph: Mapping[str, Collection[str]]) -> set[str]:
    """Return all nodes on paths from some nodes of a graph, including these."""
    found, pending = set(), list(start)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += graph.get(name, ())
    return found


def with_packages(names: Collection[str]) -> set[str]:
    """Add the packages that contain some modules, which are imported with them."""
    parts = [name.split(".") for name in names]
    return {".".join(name[:length]) for name in parts for length in range(1, len(name) + 1)}


def test_all_modules_are_found():
    assert len(PRODUCT) > 80
    assert {module.room for module in PRODUCT.values()} == set(ROOMS)
    assert {path.stem for path in PROJECT.glob("*.py")} == set(SCRIPTS)


@PARAMETRIZE_PRODUCT
def test_imports_go_down_only(module):
    first_party = {*ROOMS, *STUDIES, *SCRIPTS, "tests"}
    above = (libraries_of(module) & first_party) - {module.room} - ROOMS[module.room]
    assert not above, f"{module.name} must not import {above}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_import_the_command_line_only(name):
    assert imports_of(OURS[name]) == {"sys", "pipeline.__main__"}


def is_command_line(name: str) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in COMMAND_LINE)


@PARAMETRIZE_PRODUCT
def test_the_library_does_not_import_the_command_line(module):
    if not is_command_line(module.name):
        assert not [name for name in imports_of(module) if is_command_line(name)]


def test_imports_form_no_circles():
    graph = {name: imports_of(module, False, False) & set(PRODUCT) for name, module in PRODUCT.items()}
    assert sum(map(len, graph.values())) > 200
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_inference_reaches_no_training():
    graph = {name: with_packages(imports_of(module)) & set(PRODUCT) for name, module in PRODUCT.items()}
    found = reachable(["pipeline.tagger", "pipeline.commands.tag", "pipeline.batch"], graph)
    assert {"action_heads.model", "inference.torch_engine", "actor_detector.yolo", "video.decoding"} <= found
    assert not sorted(filter(is_training, found))


@pytest.mark.parametrize(("library", "door"), ONE_DOOR.items())
def test_some_libraries_have_one_door(library, door):
    users = [name for name, module in PRODUCT.items() if library in libraries_of(module)]
    assert users == ([door] if isinstance(door, str) else list(door))


@pytest.mark.parametrize("module", [m for m in OURS.values() if m.path.name == "__init__.py"], ids=lambda m: m.name)
def test_an_init_file_holds_a_docstring_and_nothing_else(module):
    if module.name != "pipeline":  # which offers the public names
        assert [type(node) for node in module.tree().body] == [ast.Expr]
        assert ast.get_docstring(module.tree())


def test_modules_that_load_heavy_libraries_are_known():
    graph = {name: with_packages(imports_of(module, False, False)) for name, module in PRODUCT.items()}
    heavy = {name for name in PRODUCT if reachable([name], graph) & set(HEAVY)}
    known = {name for name in heavy if is_training(name) or name.startswith(HEAVY_PACKAGES)}
    assert heavy - known == HEAVY_MODULES


def test_importing_the_other_modules_is_cheap():
    heavy = {name for name in PRODUCT if is_training(name) or name.startswith(HEAVY_PACKAGES)} | HEAVY_MODULES
    light = [name for name in PRODUCT if name not in heavy]
    assert len(light) > 60
    assert loaded_after(f"import {', '.join(light)}") == set()


@PARAMETRIZE_OURS
def test_files_are_short(module):
    assert module.lines() <= MAX_LINES


@PARAMETRIZE_OURS
def test_functions_have_few_parameters(module):
    assert not dict(too_many_parameters(module.tree()))


def too_many_parameters(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the functions that have too many parameters; `self` and `cls` do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            names += [a.arg for a in (node.args.vararg, node.args.kwarg) if a]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > MAX_PARAMETERS:
                yield getattr(node, "name", "lambda"), count


@PARAMETRIZE_OURS
def test_docstrings_open_with_plain_verbs(module):
    assert not list(give_or_say(module.tree()))


def give_or_say(tree: ast.Module) -> Iterator[str]:
    """Yield the docstrings of public names that begin with "Give" or "Say"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            is_public = not getattr(node, "name", "").startswith("_")
            if is_public and docstring.split(" ")[0] in ("Give", "Say"):
                yield docstring


def test_the_checks_find_what_they_look_for():
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import a\n"
        "try:\n    import b\nexcept ImportError:\n    pass\n"
        "def f(self, c, d, *e, f, g, h):\n    '''Give up.'''\n    import i\n"
    )
    assert dict(too_many_parameters(tree)) == {}
    assert dict(too_many_parameters(ast.parse("def f(a, b, c, d, *e, f, **g): pass"))) == {"f": 7}
    assert list(give_or_say(tree)) == ["Give up."]

    def found(**what: bool) -> set[str]:
        statements = [node for node in import_statements(tree, **what) if isinstance(node, ast.Import)]
        return {node.names[0].name for node in statements}

    assert found(in_functions=False, type_checking=False) == {"b"}
    assert found(in_functions=True, type_checking=False) == {"b", "i"}
    assert found(in_functions=False, type_checking=True) == {"a", "b"}
