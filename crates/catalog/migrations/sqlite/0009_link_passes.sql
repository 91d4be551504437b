-- Tickets that other deployments redeemed, and the manifests that their copies still read here.

CREATE TABLE link_passes (
    ticket TEXT NOT NULL PRIMARY KEY,
    region TEXT NOT NULL,
    volume TEXT NOT NULL,
    manifest TEXT NOT NULL,
    held_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

DELETE FROM meta WHERE name = 'link_tickets_used';
