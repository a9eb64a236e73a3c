from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEVEL0: _ClassVar[Priority]
    LEVEL1: _ClassVar[Priority]
    LEVEL2: _ClassVar[Priority]
    LEVEL3: _ClassVar[Priority]
    LEVEL4: _ClassVar[Priority]
    LEVEL5: _ClassVar[Priority]
    LEVEL6: _ClassVar[Priority]
LEVEL0: Priority
LEVEL1: Priority
LEVEL2: Priority
LEVEL3: Priority
LEVEL4: Priority
LEVEL5: Priority
LEVEL6: Priority
