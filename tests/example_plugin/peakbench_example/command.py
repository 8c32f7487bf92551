"""The command ``peakbench overlap``: imported only when it is called."""

import click


@click.command()
@click.argument("left")
@click.argument("right")
def overlap(left: str, right: str) -> None:
    """Print the word overlap of two texts."""
    from peakbench_example.word_overlap import jaccard

    click.echo(f"{jaccard(left, right):.3f}")
