import { worldDefaults } from './world.fixture.ts'

// Loaded before the tests of the project `broker`.
worldDefaults.withBroker = true
