"""Any spec there can be, for property-based tests."""

from hypothesis import strategies as st

from resnetlib import DenseNetSpec, ResNetSpec

counts = st.integers(1, 3)
stages = st.integers(1, 4)


@st.composite
def resnet_specs(draw: st.DrawFn, *, most: int) -> ResNetSpec:
    """Draw any valid spec of the first family, of widths up to `most`."""
    n = draw(stages)
    block = draw(st.sampled_from(["basic", "bottleneck"]))
    bottleneck = block == "bottleneck"
    fixup = draw(st.booleans())
    join = "add" if fixup else draw(st.sampled_from(["add", "scaled_add", "replace"]))
    init = "fixup" if fixup else draw(st.sampled_from(["he", "zero_init_residual"])) if join == "add" else "he"
    shortcut = draw(st.sampled_from(["A", "A_end", "B", "C"]))
    order = "post" if fixup else draw(st.sampled_from(["post", "pre"]))
    widths = draw(st.lists(st.integers(1, most), min_size=n, max_size=n))
    return ResNetSpec(
        block=block,  # type: ignore[arg-type]
        depths=tuple(draw(st.lists(counts, min_size=n, max_size=n))),
        widths=tuple(sorted(widths) if shortcut in ("A", "A_end") and join != "replace" else widths),
        join=join,  # type: ignore[arg-type]
        order=order,  # type: ignore[arg-type]
        shortcut=shortcut,  # type: ignore[arg-type]
        stride_in=draw(st.sampled_from(["3x3", "1x1"])) if bottleneck else "3x3",  # type: ignore[arg-type]
        groups=draw(counts) if bottleneck else 1,
        base_width=draw(st.sampled_from([64, 128])) if bottleneck else 64,
        stem=draw(st.sampled_from(["imagenet", "cifar"])),  # type: ignore[arg-type]
        stem_norm=order == "pre" and draw(st.booleans()),
        norm="none" if fixup else draw(st.sampled_from(["batch", "group", "none"])),  # type: ignore[arg-type]
        init=init,  # type: ignore[arg-type]
    )


@st.composite
def densenet_specs(draw: st.DrawFn) -> DenseNetSpec:
    """Draw any valid spec of the second family, of small numbers."""
    return DenseNetSpec(
        growth=draw(st.integers(1, 5)),
        depths=tuple(draw(st.lists(counts, min_size=1, max_size=4))),
        stem_width=draw(st.integers(2, 10)),
        bottleneck=draw(st.integers(0, 4)),
        compression=draw(st.sampled_from([0.5, 0.75, 1.0])),
        stem=draw(st.sampled_from(["imagenet", "cifar"])),  # type: ignore[arg-type]
        norm=draw(st.sampled_from(["batch", "group", "none"])),  # type: ignore[arg-type]
    )
