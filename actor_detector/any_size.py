"""Makes a detector's network convertible once for images of all sizes.

A conversion follows the operations on an example image. What the network computes in Python from the example's size
would become a constant.
"""

from typing import Any


def accept_any_size(network: Any) -> None:
    """Change the head of an Ultralytics detection model so that its operations depend on the size of its input.

    Other models are left as they are; whether a conversion is right for other sizes is checked in any case.

    Args:
        network: The model, a torch module; it computes the same as before.
    """
    import torch

    head = network.model[-1]
    if hasattr(head, "dynamic"):
        head.dynamic = True  # computes anchors in every pass instead of storing those of the last size
        head.register_forward_pre_hook(_keep_strides_on_cpu)
    select = getattr(head, "get_topk_index", None)
    if select is None:
        return

    def select_at_most(scores: torch.Tensor, count: Any) -> Any:
        if torch._C._get_tracing_state() is not None:
            # Of the two, `min` would return a number that does not depend on the size.
            count = torch.minimum(torch.tensor(count), torch._shape_as_tensor(scores)[1])
        return select(scores, count)

    head.get_topk_index = select_at_most


def _keep_strides_on_cpu(head: Any, _: Any) -> None:
    """Move the strides, which anchors are made from one by one, to where reading them does not wait for a GPU."""
    if head.stride.device.type != "cpu":
        head.stride = head.stride.cpu()
