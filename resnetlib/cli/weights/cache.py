"""`resnetlib weights cache`: where downloaded weights are."""

import click


@click.command()
def cache() -> None:
    """Show the folders of the caches, the variables that name them, and the weights of the catalogue that they hold."""
    import torch
    from huggingface_hub import constants

    from resnetlib.weights import EmbeddedFile, describe
    from resnetlib.weights import list as list_pretrained
    from resnetlib.weights.hub import cache_dir, find_cached

    click.echo(f"hub   (HF_HOME)          {constants.HF_HUB_CACHE}")
    click.echo(f"URLs  (TORCH_HOME)       {torch.hub.get_dir()}/checkpoints")
    click.echo(f"notes (RESNETLIB_CACHE)  {cache_dir()}")
    total = 0
    for name in list_pretrained():
        for source in describe(name).sources:
            path = None if isinstance(source, EmbeddedFile) else find_cached(source)
            if path is not None:
                size = path.stat().st_size
                total += size
                click.echo(f"{size:14,}  {name}  {path}")
    click.echo(f"{total:14,}  bytes in all")
