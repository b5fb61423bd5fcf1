"""`regard serve`."""

from typing import Annotated

import typer

from regard.cli.options import Bfloat16, Device, Folder, Int8, round_as_asked

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is open to everybody.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes one which is free.")] = 8000,
    threads: Annotated[int, typer.Option(min=0, help="That compute; 0 is one a core.")] = 0,
    batch_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens computed together; 0 is 512 a thread, and 8192 on other devices.")
    ] = 0,
    wait_ms: Annotated[float, typer.Option(min=0, help="How long a request waits for others, in ms.")] = 2.0,
    queue: Annotated[int, typer.Option(min=1, help="Requests at once; more are refused with status 503.")] = 256,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds a request may take.")] = 30.0,
    texts: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 128,
    longest: Annotated[int, typer.Option(min=0, help="Tokens of a text; 0 is the model's own limit.")] = 0,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens which may be read for a request.")] = 16384,
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens which may be written for a request.")] = 1024,
    kilobytes: Annotated[int, typer.Option(min=1, help="Size of a request.")] = 1024,
    int8: Int8 = False,
    bfloat16: Bfloat16 = False,
    device: Device = "cpu",
) -> None:
    """Answer requests over HTTP with a model; those which wait are computed together.

    What there is depends on the model: /predict, /tag, /choose, /answer, /fill and /embed of encoders, /translate or
    /generate; beside it /health, /metrics, /about, /docs and /openapi.json. Whoever reaches the address may use it.

    Examples:

      regard serve runs/sst2 --port 8000

      curl http://127.0.0.1:8000/predict -H 'Content-Type: application/json' -d '{"texts": ["A fine film."]}'

      regard serve runs/gpt2 --int8 --queue 64 --timeout 60
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ValueError(f"serving needs the package {error.name}: pip install 'regard[serve]'") from error
    import torch

    from regard.reading.directory import load
    from regard.serving.limits import Limits
    from regard.serving.server import listening, run
    from regard.serving.service import Service

    limits = Limits(
        body=kilobytes << 10,
        texts=texts,
        longest=longest or None,
        tokens=tokens,
        new_tokens=new_tokens,
        requests=queue,
        seconds=timeout,
        pause=wait_ms / 1000,
        batch=batch_tokens or (512 if device == "cpu" else 8192),
    )
    bound = listening(host, port)
    model = load(folder).to(device)
    round_as_asked(model, int8, bfloat16)
    service = Service(model, limits, threads or torch.get_num_threads())
    if host not in LOOPBACK:
        typer.echo(f"warning: {host} can be reached by others, and nobody is asked who they are", err=True)

    def told(url: str) -> None:
        """Say where the service is."""
        typer.echo(f"{service.purpose}: {', '.join(service.endpoints)} at {url}", err=True)

    run(service, bound, told)
