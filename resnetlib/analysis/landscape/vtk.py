"""Surfaces for ParaView."""

from pathlib import Path

import torch
from torch import Tensor

from resnetlib.disk import write_atomically


def write_vtp(path: Path, x: Tensor, y: Tensor, loss: Tensor, *, highest: float | None, log: bool) -> None:
    """Write a surface as polygons in VTK's XML, under the names of the published tool: zvalue, averaged zvalue, Points.

    Args:
        path: the file.
        x: the first coordinates.
        y: the second ones.
        loss: `(len(y), len(x))`.
        highest: where the surface is cut off; None for nowhere.
        log: write log(loss + 0.1).
    """
    z = loss.double().clamp(max=highest) if highest is not None else loss.double()
    z = (z + 0.1).log() if log else z
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    number = torch.arange(z.numel()).view(z.shape)
    quads = torch.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], -1).view(-1, 4)
    points = torch.stack([columns.double(), rows.double(), z], -1).view(-1, 3)
    ends = 4 * torch.arange(1, len(quads) + 1)
    lines = [
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        "<PolyData>",
        f'<Piece NumberOfPoints="{len(points)}" NumberOfPolys="{len(quads)}"',
        '       NumberOfVerts="0" NumberOfLines="0" NumberOfStrips="0">',
        *("<PointData>", _array("zvalue", z.flatten()), "</PointData>"),
        *("<CellData>", _array("averaged zvalue", z.flatten()[quads].mean(1)), "</CellData>"),
        *("<Points>", _array("Points", points), "</Points>"),
        *("<Polys>", _array("connectivity", quads), _array("offsets", ends), "</Polys>"),
        *("</Piece>", "</PolyData>", "</VTKFile>", ""),
    ]
    write_atomically(path, "\n".join(lines).encode())


def _array(name: str, values: Tensor) -> str:
    kind = "Float64" if values.is_floating_point() else "Int64"
    wide = f' NumberOfComponents="{values.shape[1]}"' if name == "Points" else ""
    numbers = " ".join(f"{value:.9g}" if values.is_floating_point() else str(value) for value in values.flatten().tolist())
    return f'<DataArray type="{kind}" Name="{name}"{wide} format="ascii">{numbers}</DataArray>'
