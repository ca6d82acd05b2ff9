"""The systems by name. A new one is a file in `rivals/systems`, which defines it in its `SYSTEMS`, and a line here."""

from importlib import import_module
from typing import TYPE_CHECKING

from common.errors import UserError
from common.files import nearest

if TYPE_CHECKING:
    from rivals.system import System

SYSTEMS = {
    "pcd_resnet": "rivals.systems.pcd",
    "pcd_sigmoid": "rivals.systems.pcd",
    "apcd_resnet": "rivals.systems.apcd",
    "pcd_r2plus1d": "rivals.systems.pcd_r2plus1d",
    "se_resnext": "rivals.systems.se_resnext",
    "transfer_mlp": "rivals.systems.transfer_mlp",
    "transfer_resnet": "rivals.systems.transfer_resnet",
    "pos_weight": "rivals.systems.pos_weight",
    "multiscale": "rivals.systems.multiscale",
    "object_proposal": "rivals.systems.object_proposal",
    "cnn_lstm": "rivals.systems.cnn_lstm",
    "flow_lines": "rivals.systems.flow_lines",
    "resnet3d": "rivals.systems.resnet3d",
    "glove": "rivals.systems.glove",
    "joint_fusion": "rivals.systems.joint_fusion",
    "tri_layer": "rivals.systems.tri_layer",
    "resnet18": "rivals.systems.tri_layer",
    "vanilla_cnn": "rivals.systems.handmade_cnns",
    "semi_fc_cnn": "rivals.systems.handmade_cnns",
}
"""Each system's module, which is imported when the system is asked for: it loads PyTorch."""
ENSEMBLE = "ensemble"
"""What is made of trained systems, see `rivals.ensemble`."""
NAMES = (*SYSTEMS, ENSEMBLE)
"""All names on the command line."""


def find_system(name: str, where: str = "--system") -> "System":
    """Return the system with a name.

    Args:
        name: One of `SYSTEMS`.
        where: What names it, for the message.

    Raises:
        UserError: If there is no such system; the message lists those that exist.
    """
    if name not in SYSTEMS:
        raise UserError(f"{where}: unknown system {name!r}; {nearest(name, SYSTEMS)}")
    system: System = import_module(SYSTEMS[name]).SYSTEMS[name]
    return system
