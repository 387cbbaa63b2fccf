"""The sections as a tree of keys, as they are written in params.yaml."""

from __future__ import annotations

from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any, get_args

from pydantic.fields import FieldInfo

from thinkrec.config.base import Section
from thinkrec.config.sources import Source, Split

if TYPE_CHECKING:
    from ruamel.yaml.representer import SafeRepresenter


def _members(union: Any, key: str) -> dict[str, type[Section]]:
    """The sections of a union by the value of the key that tells them apart."""
    models = get_args(get_args(union)[0])
    return {get_args(model.model_fields[key].annotation)[0]: model for model in models}


SOURCES = _members(Source, "reader")
RULES = _members(Split, "rule")


def keys(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section as params.yaml spells them (`global`, where Python needs `global_`)."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def subsection(field: FieldInfo) -> type[Section] | None:
    """The section that a key holds, or None when it holds a plain value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def section_at(parts: tuple[str | int, ...]) -> type[Section] | None:
    """The section under the keys `parts`; a data set's name is followed by its reader, `split` by its
    rule, as pydantic does.

    Returns:
        None where no section lies there.
    """
    from thinkrec.config.sections import Params

    if parts[:1] == ("datasets",) and parts[3:4] == ("split",) and len(parts) > 4:
        section, rest = RULES.get(str(parts[4])), parts[5:]
    elif parts[:1] == ("datasets",) and len(parts) > 2:
        section, rest = SOURCES.get(str(parts[2])), parts[3:]
    else:
        section, rest = Params, parts
    for part in rest:
        field = keys(section).get(str(part)) if section else None
        section = subsection(field) if field else None
    return section


def leaves(section: type[Section], prefix: str = "") -> list[str]:
    """Dotted names of all plain values below a section."""
    found: list[str] = []
    for key, field in keys(section).items():
        inner = subsection(field)
        found += leaves(inner, f"{prefix}{key}.") if inner else [f"{prefix}{key}"]
    return found


def dumped(section: Section) -> dict[str, Any]:
    """A section as plain values that YAML knows, keys spelled as in params.yaml."""
    return section.model_dump(mode="json", by_alias=True)


def yaml_text(value: Any) -> str:
    """A plain value as YAML on one line, lists and mappings in flow style; YAML 1.1 and 1.2 read it alike."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _representer()
    yaml.default_flow_style = True
    yaml.width = 10**9
    yaml.representer.sort_base_mapping_type_on_output = False
    stream = StringIO()
    yaml.dump({"value": value}, stream)
    return stream.getvalue().strip().removeprefix("{value: ").removesuffix("}")


@cache
def _representer() -> type[SafeRepresenter]:
    """Ruamel's, which writes YAML 1.2, made to write what YAML 1.1 tools such as PyYAML read the same way."""
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.representer import SafeRepresenter
    from ruamel.yaml.resolver import VersionedResolver

    resolver, text_tag = VersionedResolver(version=(1, 1)), "tag:yaml.org,2002:str"

    def text(representer: SafeRepresenter, value: str) -> ScalarNode:
        """In quotes where YAML 1.1 takes it for something else: `off`, `no`, `12:30`."""
        plain = resolver.resolve(ScalarNode, value, (True, False)) == text_tag
        return representer.represent_scalar(text_tag, value, style=None if plain else "'")

    def number(representer: SafeRepresenter, value: float) -> ScalarNode:
        """With a point, without which YAML 1.1 takes 4e-05 for text."""
        node = representer.represent_float(value)
        node.value = node.value if "." in node.value else node.value.replace("e", ".0e")
        return node

    class Representer(SafeRepresenter):
        """With a table of its own, so that no other use of ruamel changes."""

    Representer.add_representer(str, text)
    Representer.add_representer(float, number)
    return Representer
