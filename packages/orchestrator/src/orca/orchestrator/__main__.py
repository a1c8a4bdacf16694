"""``python -m orca.orchestrator`` runs a core with the settings of its environment."""

import sys

from orca.orchestrator.process import main

if __name__ == "__main__":
    sys.exit(main())
