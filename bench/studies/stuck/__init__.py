"""Parameters of simulators where searches get stuck: classes of instances, competitors, and the driver."""
