"""Published studies on data that is not accelerometry alone, done again with the project's losses."""
