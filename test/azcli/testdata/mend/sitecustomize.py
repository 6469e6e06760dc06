# Debian's azure-cli 2.45 asks the operations of azure.mgmt.authorization for an attribute
# that the library beside it keeps under another name, so that "az role" ends before it
# sends anything. This gives it the name; nothing else of the program is changed.
import importlib
import pkgutil

import azure.mgmt.authorization as authorization

for module in pkgutil.iter_modules(authorization.__path__):
    if module.name.startswith("v20"):
        operations = importlib.import_module(authorization.__name__ + "." + module.name + ".operations")
        for name in dir(operations):
            kind = getattr(operations, name)
            if name.startswith(("RoleAssignments", "RoleDefinitions")) and name.endswith("Operations") and not hasattr(kind, "config"):
                kind.config = property(lambda self: self._config)
