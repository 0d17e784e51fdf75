-- How a machine of the driver `linux` is entered over SSH. Its private key is a file of the sim-engine: the path alone.
ALTER TABLE sim.vms ADD COLUMN ssh jsonb;
CREATE INDEX vms_linux ON sim.vms (id) WHERE driver = 'linux';
