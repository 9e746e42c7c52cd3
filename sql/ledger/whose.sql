-- Which run a ledger is of, whichever version wrote it. A table of somebody else's has no such columns.
select l.run, l.pgconvoy_version from pgconvoy.run l;
