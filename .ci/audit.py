"""`make audit`: known weaknesses of what is installed; one line where nothing could be asked.

pip-audit alone ends well where an index knows none of the packages, and in a traceback without
a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

INSTALL = ("pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit")
AUDIT = ("pip_audit", "--local", "--skip-editable", "--progress-spinner=off", "--format=json")
NOTHING = "make audit: nothing was audited"
NETWORK = "(it needs the network, to ask the package index)"


def run(*module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *module], capture_output=True, text=True)


def reason(result: subprocess.CompletedProcess[str]) -> str:
    """The first cause in the last line that a program said, at most 300 letters."""
    said = (result.stderr or result.stdout).strip() or f"exit code {result.returncode}"
    return said.splitlines()[-1].rpartition("Caused by ")[2][:300]


def main() -> str | None:
    """Print what was found. Returns why it is not well, in one line, or None."""
    if find_spec("pip_audit") is None and (installed := run(*INSTALL)).returncode:
        return f"{NOTHING}: pip-audit could not be installed {NETWORK}: {reason(installed)}"
    result = run(*AUDIT)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        return f"{NOTHING}: pip-audit failed {NETWORK}: {reason(result)}"
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return f"{NOTHING}: the package index in use knows none of the {len(packages)} packages"
    if skipped:
        print(f"unknown to the package index, not audited: {', '.join(skipped)}")
    weak = [package for package in packages if package.get("vulns")]
    for package in weak:
        names = ", ".join(weakness["id"] for weakness in package["vulns"])
        print(f"{package['name']} {package['version']}: {names}")
    audited = len(packages) - len(skipped)
    if weak:
        return f"make audit: {len(weak)} of {audited} packages have known weaknesses"
    print(f"no known weaknesses in {audited} packages")
    return None


if __name__ == "__main__":
    sys.exit(main())
