"""Names by which signatures tell the dtype and the shape of an array: `theta: Float[Array, "*members m"]`.

The names and the grammar of the shapes are those of jaxtyping: `m` is an axis, `*members` any number of axes, `...`
axes without a name. Axes with one name have one length in the arguments and the result of a call.

Where jaxtyping was imported before, as the tests do, the names are its own, and the tests check every call. Elsewhere
`Float[Array, ...]` is `Array` at run time, so that jaxtyping need not be installed.
"""

import sys
from typing import TYPE_CHECKING, Any

Array = Any  # an array of any library that follows the array API standard, or a traced one

if TYPE_CHECKING:  # type checkers read no shapes
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Integer
    from typing import Annotated as Num
    from typing import Annotated as Real
    from typing import Annotated as Shaped
    from typing import Annotated as UInt8
    from typing import Annotated as UInt32
elif "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Integer, Num, Real, Shaped, UInt8, UInt32
else:

    class _Unchecked:
        """A dtype of jaxtyping that looks at nothing."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = Integer = Num = Real = Shaped = UInt8 = UInt32 = _Unchecked

__all__ = ["Array", "Bool", "Float", "Int", "Integer", "Num", "Real", "Shaped", "UInt8", "UInt32"]
