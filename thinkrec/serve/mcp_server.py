"""Tools over the Model Context Protocol, on standard input and output."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from thinkrec import __version__
from thinkrec.errors import ThinkrecError
from thinkrec.serve.tool_answers import LONGEST, shown
from thinkrec.serve.tool_arguments import schema, wrong
from thinkrec.serve.tools import Tool
from thinkrec.teachers.redact import clean
from thinkrec.wanted import UnwantedError, while_wanted

if TYPE_CHECKING:
    from mcp.server import Server, ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams
    from mcp_types import Tool as Listed

log = logging.getLogger(__name__)


def server(tools: Iterable[Tool], instructions: str) -> Server[Any]:
    """Make a server of tools, which answers calls one after another.

    It does not wait for a call that is cancelled; the next call does, until that ends at its next batch of
    scores or token of a text.

    Args:
        tools: to offer.
        instructions: what an assistant reads before it uses them.
    """
    import anyio
    import anyio.to_thread
    from mcp.server import Server
    from mcp.shared.exceptions import MCPError
    from mcp_types import INVALID_PARAMS, CallToolResult, ListToolsResult

    by_name = {tool.name: tool for tool in tools}
    listed = [_listed(tool) for tool in by_name.values()]
    in_order, one = anyio.CapacityLimiter(1), threading.Lock()

    async def on_list(
        _: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=listed)

    async def on_call(_: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        if params.name not in by_name:
            known = ", ".join(by_name)
            raise MCPError(INVALID_PARAMS, f"there is no tool {shown(params.name, 60)!r}; tools are {known}")
        given_up = threading.Event()

        def work() -> CallToolResult:
            with one:  # a call that was given up may still be running
                if given_up.is_set():
                    return CallToolResult(content=[])
                with while_wanted(lambda: not given_up.is_set()):
                    return answer(by_name[params.name], params.arguments or {})

        try:
            return await anyio.to_thread.run_sync(work, limiter=in_order, abandon_on_cancel=True)
        finally:
            given_up.set()

    return Server(
        "thinkrec",
        version=__version__,
        instructions=instructions,
        on_list_tools=on_list,
        on_call_tool=on_call,
    )


def _listed(tool: Tool) -> Listed:
    from mcp_types import Tool as Listed
    from mcp_types import ToolAnnotations

    return Listed(
        name=tool.name,
        description=tool.description,
        input_schema=schema(tool.arguments),
        output_schema=schema(tool.answers),
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def answer(tool: Tool, arguments: dict[str, Any]) -> CallToolResult:
    """Answer a call; whatever goes wrong becomes a sentence that the assistant reads."""
    from mcp_types import CallToolResult, TextContent

    try:
        found = tool.call(tool.arguments.model_validate(arguments))
        return CallToolResult(
            content=[TextContent(text=found.text())], structured_content=found.model_dump(mode="json")
        )
    except ValidationError as error:
        said = wrong(error)
    except (ThinkrecError, UnwantedError) as error:
        said = str(error)
    except Exception:
        log.exception("%s failed", tool.name)
        said = "failed unexpectedly; the server's log says why"
    sentence = shown(clean(f"{tool.name}: {said}"), LONGEST)
    return CallToolResult(content=[TextContent(text=sentence)], is_error=True)


def serve(server: Server[Any]) -> None:
    """Answer on standard input and output until the input ends or nobody reads the output.

    A call may still be running then, in a thread that nobody waits for.
    """
    import anyio
    from mcp.server.stdio import stdio_server

    async def run() -> None:
        async with stdio_server() as (requests, answers):
            await server.run(requests, answers, server.create_initialization_options())

    try:
        anyio.run(run)
    except* BrokenPipeError:
        log.warning("the assistant has gone")
