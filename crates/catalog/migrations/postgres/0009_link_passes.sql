-- Tickets that other deployments redeemed, and the manifests that their copies still read here.

CREATE TABLE link_passes (
    ticket TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    region TEXT COLLATE "C" NOT NULL,
    volume TEXT COLLATE "C" NOT NULL,
    manifest TEXT COLLATE "C" NOT NULL,
    held_until BIGINT NOT NULL
);

DELETE FROM meta WHERE name = 'link_tickets_used';
