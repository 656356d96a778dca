"""The web server: who may call what, checks of everything a client sends, errors a viewer can show."""
