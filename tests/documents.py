"""What documents hold: blocks of code, the command lines in them, and what is code within a sentence."""

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
PROGRAMS = ("regard", "make", "pip", "accelerate", "torchrun")
SHELLS = ("", "sh", "bash", "shell", "console")
_BETWEEN = re.compile(r"\|\||&&|[|;]")  # commands of one line
_LOOP = re.compile(r"\bfor (\w+) in ([^;\n]+); do\b(.*?)\bdone\b", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Code in a document; `language` is empty where nothing is said of it."""

    place: str  # `file:line`
    language: str
    text: str


@dataclass(frozen=True)
class Line:
    """A command line: what stands behind the program's name."""

    place: str
    program: str
    arguments: tuple[str, ...]


def documents() -> list[Path]:
    """The documents of the project, whoever adds one."""
    folders = [ROOT / name for name in ("docs", "lessons", "course", "benchmarks")]
    return sorted([*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))])


def programs() -> list[Path]:
    """Programs whose texts are read as documents are."""
    return sorted(path for name in ("lessons", "course") for path in (ROOT / name).rglob("*.py"))


def blocks(path: Path) -> list[Block]:
    """The blocks of code of a document, or of the texts of a program."""
    return [
        Block(place, token.info.strip().lower(), token.content)
        for place, token in _tokens(path)
        if token.type in ("fence", "code_block")
    ]


def spans(path: Path) -> list[tuple[str, str]]:
    """Each piece of code within a sentence of a document, or of the texts of a program, after its place."""
    return [
        (place, child.content)
        for place, token in _tokens(path)
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def _tokens(path: Path) -> Iterator[tuple[str, Token]]:
    """What Markdown has in a document, or in the texts of a program, each with its place."""
    text = path.read_text("utf-8")
    parts = [(0, text)]
    if path.suffix == ".py":
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        parts = [(node.lineno - 1, textwrap.dedent(node.value)) for node in nodes if isinstance(node.value, str)]
    for first, part in parts:
        for token in MarkdownIt().enable("table").parse(part):
            yield f"{path.relative_to(ROOT)}:{first + (token.map or [0])[0] + 1}", token


def command_lines(text: str, place: str) -> Iterator[Line]:
    """The command lines in a text which name one of `PROGRAMS`; those which go on behind a backslash are one."""
    for line in _LOOP.sub(_unrolled, text.replace("\\\n", " ")).splitlines():
        if not any(re.search(rf"(?<![\w./-]){program}(?![\w-])", line) for program in PROGRAMS):
            continue
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
            lexer.whitespace_split, lexer.commenters = True, "#"
            words = list(lexer)
        except ValueError:  # a sentence with an apostrophe
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if not _BETWEEN.fullmatch(word):
                command.append(word)
                continue
            while command and (command[0] == "$" or re.fullmatch(r"\w+=\S*", command[0])):
                command.pop(0)  # a prompt, or a variable of the environment
            whole = [*command, ">"]
            command = whole[: min(whole.index(sign) for sign in "<>" if sign in whole)]
            if len(command) > 1 and command[0] in PROGRAMS:
                yield Line(place, command[0], tuple(command[1:]))
            command = []


def _unrolled(loop: re.Match[str]) -> str:
    """What a loop of the shell does, once for each value of its variable."""
    name, values, body = loop.groups()
    return "\n".join(re.sub(rf"\$\{{?{name}\b\}}?", value, body) for value in values.split())


def is_shell(block: Block) -> bool:
    """Whether a block may be command lines."""
    return block.language in SHELLS


def is_python(block: Block) -> bool:
    """Whether a block is Python: as it says, or, where it says nothing, as it reads."""
    if block.language not in SHELLS:
        return block.language in ("python", "py", "pycon")
    try:
        tree = ast.parse(block.text)
    except SyntaxError:
        return False
    return any(isinstance(node, ast.Name) and node.id == "regard" for node in ast.walk(tree))
