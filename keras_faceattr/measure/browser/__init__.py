"""What browsers measured in the demo's page."""
