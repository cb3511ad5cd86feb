"""Times that browsers measured in the demo's page."""
