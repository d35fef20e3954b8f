"""ActiGraph GT3X+, wGT3X-BT, GT9X Link and relatives: reads .gt3x files, which are zip archives of records."""
