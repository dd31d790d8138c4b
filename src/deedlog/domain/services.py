"""Services handed to handlers by type: what the app was given with `provide`."""

from collections.abc import Mapping
from typing import Any

from deedlog.domain.signature import Signature
from deedlog.errors import InvalidDeclaration


def resolve(signature: Signature, name: str, wanted: Any, services: Mapping[Any, Any]) -> Any:
    """The service for one parameter: of exactly that class, else the one of a subclass.

    Raises InvalidDeclaration when there is none, or more than one.
    """
    if wanted in services:
        return services[wanted]
    found = [service for kind, service in services.items() if isinstance(kind, type) and _is_a(kind, wanted)]
    if len(found) == 1:
        return found[0]
    shown = getattr(wanted, "__name__", str(wanted))
    problem = (
        f"{signature.name}: no service for '{name}: {shown}'" if not found else f"{signature.name}: two services are {shown}"
    )
    raise InvalidDeclaration(signature.place, problem, fix=f"app.provide(…) one, or app.provide(…, as_type={shown})")


def _is_a(kind: type[Any], wanted: Any) -> bool:
    if not isinstance(wanted, type) or wanted is object:
        return False
    try:
        return issubclass(kind, wanted)
    except TypeError:  # a Protocol that can't be compared by shape: only its subclasses count
        return wanted in kind.__mro__
