"""What can be asked: why a row was kept or dropped, and what files hold before any cleaning."""
