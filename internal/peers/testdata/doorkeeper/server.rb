# An authorization server for tests: Doorkeeper, the software behind Whiplash.
#
#   ruby server.rb CONFIG
#
# CONFIG is a JSON object: client_id, client_secret, redirect_uri,
# access_token_life in seconds, and previous_refresh_token, which says whether
# the table of access tokens has the column of that name. With it, a used
# refresh token lives until the new access token is first used; without it, a
# used refresh token is dead at once. The server listens on a free loopback
# port, and says so in its first line.
#
# Beside the routes of Doorkeeper there are four:
#
#   POST /login             who the person is, in account; that person approves
#   GET  /login             the page of that form
#   GET  /me                whose access token it is: a use of that token
#   GET  /ledger?account=   what the person has been issued and what was rotated,
#                           and how it is now
#
# Of a token with the scope "brief" only the refresh token works: the access
# token has expired when it is issued.

require "json"
require "logger"
require "securerandom"
require "webrick"

SETTINGS = JSON.parse(ARGV.fetch(0))
ENV["RAILS_ENV"] = "test"
ENV["DATABASE_URL"] = "sqlite3::memory:?pool=1" # a second connection would have a database of its own

begin
  gem "doorkeeper", "~> 5.5.0"
  require "rails"
  require "active_record/railtie"
  require "action_controller/railtie"
  require "rack/handler/webrick"
  require "sqlite3"
  require "doorkeeper"
rescue LoadError => e
  abort "not installed: #{e.message}"
end

# What the hook of Doorkeeper has told, in its order.
ROTATIONS = []

Doorkeeper.configure do
  orm :active_record
  resource_owner_authenticator { Person.find_by(id: session[:person]) || redirect_to("/login?" + { back: request.fullpath }.to_query) }
  skip_authorization { true }
  use_refresh_token
  default_scopes :orders
  optional_scopes :user_read, :user_manage, :brief
  access_token_expires_in SETTINGS.fetch("access_token_life")
  custom_access_token_expires_in { |context| 0 if context.scopes.exists?("brief") }
  after_successful_strategy_response do |request, response|
    if request.respond_to?(:refresh_token)
      ROTATIONS << { person: response.token.resource_owner_id, from: request.refresh_token.refresh_token, to: response.token.refresh_token }
    end
  end
end

class Peer < Rails::Application
  config.root = __dir__
  config.eager_load = false
  config.cache_classes = true # no look for changed files with each request
  config.hosts.clear
  config.secret_key_base = SecureRandom.hex(32)
  config.session_store :cookie_store
  config.action_controller.allow_forgery_protection = false
  config.logger = Logger.new($stderr)
  config.log_level = :warn
end

class Person < ActiveRecord::Base; end

class PeopleController < ActionController::Base
  before_action(only: :me) { doorkeeper_authorize! :orders, :user_read, :user_manage }

  def page
    render plain: "Who are you?"
  end

  def login
    session[:person] = Person.find_or_create_by!(name: params[:account]).id
    redirect_to params[:back]
  end

  def me
    person = Person.find(doorkeeper_token.resource_owner_id)
    render json: { id: person.id, email: person.name, sub: person.name }
  end

  def ledger
    person = Person.find_by!(name: params[:account]).id
    rotations = ROTATIONS.select { |r| r[:person] == person }
    rows = Doorkeeper::AccessToken.where(resource_owner_id: person).order(:id).to_a
    render json: {
      rotations: rotations.map { |r| r.slice(:from, :to) },
      access_tokens: rows.map { |row| { token: row.token, state: row.revoked? ? "revoked" : "live" } },
      refresh_tokens: rows.map { |row| { token: row.refresh_token, state: state(row, rotations) } },
    }
  end

  private

  # Doorkeeper keeps both tokens of an answer in one row. That of a refresh
  # token which has been used is revoked sooner or later.
  def state(row, rotations)
    return "live" unless row.revoked?
    rotations.any? { |r| r[:from] == row.refresh_token } ? "spent" : "revoked"
  end
end

Peer.initialize!
Peer.routes.draw do
  use_doorkeeper { skip_controllers :applications, :authorized_applications }
  get "login", to: "people#page"
  post "login", to: "people#login"
  get "me", to: "people#me"
  get "ledger", to: "people#ledger"
end

# The tables of Doorkeeper's own migrations.
ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define do
  create_table(:people) { |t| t.string :name, null: false, index: { unique: true } }
  create_table :oauth_applications do |t|
    t.string :name, :uid, :secret, null: false
    t.text :redirect_uri, null: false
    t.string :scopes, null: false, default: ""
    t.boolean :confidential, null: false, default: true
    t.timestamps null: false
  end
  create_table :oauth_access_grants do |t|
    t.references :resource_owner, :application, null: false
    t.string :token, null: false, index: { unique: true }
    t.integer :expires_in, null: false
    t.text :redirect_uri, null: false
    t.datetime :created_at, null: false
    t.datetime :revoked_at
    t.string :scopes, null: false, default: ""
    t.string :code_challenge, :code_challenge_method
  end
  create_table :oauth_access_tokens do |t|
    t.references :resource_owner
    t.references :application, null: false
    t.string :token, null: false, index: { unique: true }
    t.string :refresh_token, index: { unique: true }
    t.integer :expires_in
    t.datetime :revoked_at
    t.datetime :created_at, null: false
    t.string :scopes
    t.string :previous_refresh_token, null: false, default: "" if SETTINGS.fetch("previous_refresh_token")
  end
end
Doorkeeper::Application.create!(
  name: "Evergrant", uid: SETTINGS.fetch("client_id"), secret: SETTINGS.fetch("client_secret"), redirect_uri: SETTINGS.fetch("redirect_uri"),
)
ActiveRecord::Base.clear_active_connections! # the one that there is belongs to requests from here on

server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: 0, AccessLog: [], Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN))
server.mount("/", Rack::Handler::WEBrick, Peer)
$stdout.sync = true
puts "listening on http://127.0.0.1:#{server.listeners.first.addr[1]}"
server.start
